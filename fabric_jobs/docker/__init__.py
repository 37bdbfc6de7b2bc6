"""The one room that knows the docker library: the engine, its containers and images, and the logins that docker keeps."""
