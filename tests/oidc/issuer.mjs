// An independent issuer for tests: oidc-provider, with one client of the operator, one of a provider, and one that asks
// about opaque tokens. Prints one line of JSON when it serves.

import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const SCOPES = 'stations:read reports:read admin';
const resources = {
  'urn:csms': { audience: 'csms', scope: SCOPES, accessTokenFormat: 'jwt' },
  'urn:csms:companies': { audience: 'csms-companies', scope: SCOPES, accessTokenFormat: 'jwt' },
  'urn:csms:opaque': { audience: 'csms', scope: SCOPES, accessTokenFormat: 'opaque' },
};

function client(id) {
  return {
    client_id: id, client_secret: `${id}-secret`, grant_types: ['client_credentials'], redirect_uris: [],
    response_types: [], scope: SCOPES,
  };
}

const server = createServer((request, response) => provider.callback()(request, response));
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const issuer = `http://127.0.0.1:${server.address().port}`;
const provider = new Provider(issuer, {
  clients: [client('staff'), client('company-q'), client('csms')],
  features: {
    clientCredentials: { enabled: true },
    revocation: { enabled: true },
    introspection: { enabled: true, allowedPolicy: async () => true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: async (context, resource) => resources[resource],
    },
  },
  scopes: SCOPES.split(' '),
  extraTokenClaims: async (context, token) => (token.clientId === 'company-q' ? { company: 'Q' } : undefined),
});
console.log(JSON.stringify({ issuer }));
