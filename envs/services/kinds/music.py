"""Songs and playlists."""

import random

from .request import Request, call, known

SONGS = {
    "Blue Harbour": "The Lanterns", "Night Ferry": "The Lanterns", "Paper Moon": "Ada Quill", "Red Kite": "Ada Quill",
    "Slow River": "Tin Forest", "Glass Town": "Tin Forest", "Open Road": "Sol Vega", "First Snow": "Sol Vega",
}  # fmt: skip
PLAYLISTS = ("morning", "running", "cooking", "evening", "travel")


class Music:
    """Songs with their artists, playlists, and the volume."""

    def __init__(self, songs: dict[str, str], playlists: dict[str, list[str]], volume: int):
        self.songs, self.playlists, self.volume = songs, playlists, volume

    def songs_by(self, artist: str) -> list[str]:
        """Returns the songs of an artist, sorted.

        Args:
            artist: name of the artist.
        """
        found = sorted(song for song, by in self.songs.items() if by == artist)
        if not found:
            raise ValueError(f"there is no artist {artist}")
        return found

    def show_playlist(self, playlist: str) -> list[str]:
        """Returns the songs of a playlist in their order.

        Args:
            playlist: name of the playlist.
        """
        known(playlist, self.playlists, "playlist")
        return self.playlists[playlist]

    def create_playlist(self, playlist: str) -> str:
        """Creates an empty playlist.

        Args:
            playlist: name of the playlist.
        """
        if playlist in self.playlists:
            raise ValueError(f"there is a playlist {playlist} already")
        self.playlists[playlist] = []
        return "created"

    def add_song(self, song: str, playlist: str) -> str:
        """Adds a song to the end of a playlist.

        Args:
            song: title of the song.
            playlist: name of the playlist.
        """
        known(song, self.songs, "song")
        known(playlist, self.playlists, "playlist")
        if song in self.playlists[playlist]:
            raise ValueError(f"{song} is in {playlist} already")
        self.playlists[playlist].append(song)
        return "added"

    def remove_song(self, song: str, playlist: str) -> str:
        """Removes a song from a playlist.

        Args:
            song: title of the song.
            playlist: name of the playlist.
        """
        known(playlist, self.playlists, "playlist")
        if song not in self.playlists[playlist]:
            raise ValueError(f"{song} is not in {playlist}")
        self.playlists[playlist].remove(song)
        return "removed"

    def set_volume(self, percent: int) -> str:
        """Sets the volume.

        Args:
            percent: 0 to 100.
        """
        if not 0 <= percent <= 100:
            raise ValueError("the volume is from 0 to 100")
        self.volume = percent
        return "set"


def state(rng: random.Random) -> dict[str, object]:
    """Returns a random initial state."""
    playlists = {name: rng.sample(sorted(SONGS), rng.randint(2, 4)) for name in rng.sample(PLAYLISTS, 2)}
    return {"songs": dict(SONGS), "playlists": playlists, "volume": rng.randint(20, 80)}


def request(rng: random.Random, music: Music) -> Request:
    """Returns a request that can be done now."""
    playlist, song, percent = rng.choice(sorted(music.playlists)), rng.choice(sorted(music.songs)), rng.randint(0, 19) * 5
    inside = music.playlists[playlist]
    artist = music.songs[song]
    options = [
        Request(f"Tell me which songs there are by {artist}.", [call("songs_by", artist=artist)], music.songs_by(artist)),
    ]
    if percent != music.volume:
        options.append(
            Request(
                f"Set the volume to {percent} percent.",
                [call("set_volume", percent=percent)],
                vague="Change the volume.",
                detail=f"To {percent} percent.",
            )
        )
    if song not in inside:
        options.append(
            Request(
                f"Add {song} to my playlist {playlist}.",
                [call("add_song", song=song, playlist=playlist)],
                vague=f"Add a song to my playlist {playlist}.",
                detail=f"{song}, please.",
            )
        )
    if inside:
        options += [
            Request(
                f"Remove {inside[0]} from my playlist {playlist}.",
                [call("remove_song", song=inside[0], playlist=playlist)],
                vague=f"Remove a song from my playlist {playlist}." if len(inside) > 1 else "",
                detail=f"{inside[0]}, please.",
            ),
            Request(
                f"Look up the last song of my playlist {playlist}, and remove it there.",
                [call("show_playlist", playlist=playlist), call("remove_song", song=inside[-1], playlist=playlist)],
            ),
        ]
    if free := [name for name in PLAYLISTS if name not in music.playlists]:
        new = rng.choice(free)
        options.append(
            Request(
                f"Create a playlist {new}, and put {song} into it.",
                [call("create_playlist", playlist=new), call("add_song", song=song, playlist=new)],
            )
        )
    return rng.choice(options)
