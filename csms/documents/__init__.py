"""Documents that people read: pages of PDF, and the words on them in English and Korean."""
