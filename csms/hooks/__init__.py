"""The outgoing port of news: whom we tell, and how it is carried there."""
