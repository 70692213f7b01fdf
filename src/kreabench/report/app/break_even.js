// Own GPU or API.
