"""The entry point of the image: python main.py spec|check|write."""

from destination_redis.command_line import main

if __name__ == "__main__":
    main()
