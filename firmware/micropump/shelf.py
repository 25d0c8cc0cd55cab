"""The drug library that is installed, and how another takes its place.

An image comes in parts and is written beside the one that counts. It is verified where it lies,
and counts from the moment that its slot is committed; wherever that is cut short, the old one does.
What is damaged, not signed with the pump's key, older than what is installed, or too large never
counts.
"""

import hashlib

from . import library
from .library import Hmac, ImageError, Library
from .storage import Slots, StorageError

KEY_BYTES = 32
_CHUNK_BYTES = 512

# Why there is no library; beyond these, why the image that is there is none (``ImageError``).
NONE_INSTALLED = 100
NO_KEY = 101

# Refusals, by their numbers on the wire: what ``ImageError`` and ``StorageError`` tell, and these.
IMAGE_REFUSED = 128
STORAGE_REFUSED = 144
HAS_KEY = 156
OTHER_OFFSET = 157
NOTHING_BEGUN = 158
NEEDS_KEY = 159


class ShelfError(ValueError):
    """What is not taken.

    Attributes:
        code: its number on the wire.
        at: the figure that is to blame, or what it should have been.

    """

    def __init__(self, code: int, at: int = 0) -> None:
        super().__init__(code, at)
        self.code = code
        self.at = at


class Shelf:
    """What is installed.

    Attributes:
        library: the drug library, or None.
        missing: why there is none; 0 where there is one.
        sha256: of its image; empty without one.
        received_bytes: of an image that is being taken.

    Args:
        library_slots: where images are kept.
        key_slots: where the key is kept that they are signed with.
        feed: called every few milliseconds while an image is gone over; keeps a watchdog quiet.

    """

    def __init__(self, library_slots: Slots, key_slots: Slots, feed=None) -> None:
        self.library: Library | None = None
        self.missing = NONE_INSTALLED
        self.sha256 = b""
        self.received_bytes = 0
        self._slots = library_slots
        self._key_slots = key_slots
        self._feed = feed
        self._size_bytes = 0
        self.open()

    def open(self) -> None:
        """Open what is installed; what is not as it should be is not used, and told."""
        self.library = None
        self.sha256 = b""
        stored = self._slots.active()
        key = self._key()
        if stored is None or not key:
            self.missing = NONE_INSTALLED if stored is None else NO_KEY
            return
        try:
            library.verify_sums(self._fed(stored), stored.length_bytes, key)
        except ImageError as error:
            self.missing = error.code
            return
        self._use(stored)

    def has_key(self) -> bool:
        """Whether the pump knows what libraries are signed with."""
        return self._key_slots.active() is not None

    def capacity_bytes(self) -> int:
        """The largest image that fits."""
        return min(self._slots.capacity_bytes, library.GREATEST_BYTES)

    def provision(self, key: bytes, proof: bytes) -> None:
        """Take the key that libraries are signed with from now on.

        Args:
            key: 32 bytes.
            proof: HMAC-SHA256 of it by the key before; empty where there was none.

        Raises:
            ShelfError: HAS_KEY without a valid proof, or what the flash has not taken.

        """
        before = self._key()
        if before:
            mac = Hmac(before)
            mac.update(key)
            if not library.is_same(mac.digest(), proof):
                raise ShelfError(HAS_KEY)
        try:
            self._key_slots.write(key)
        except StorageError as error:
            raise _refused(error) from None
        self.open()

    def begin(self, size_bytes: int) -> None:
        """Begin to take an image of ``size_bytes``; one that was begun before is forgotten."""
        self.received_bytes = self._size_bytes = 0
        if not self.has_key():
            raise ShelfError(NEEDS_KEY)
        if not library.LEAST_BYTES <= size_bytes <= self.capacity_bytes():
            raise ShelfError(IMAGE_REFUSED + library.BAD_SIZE, self.capacity_bytes())
        try:
            self._slots.begin(size_bytes)
        except StorageError as error:
            raise _refused(error) from None
        self._size_bytes = size_bytes

    def take(self, offset_bytes: int, part: bytes) -> None:
        """Take the next part of the image; raises ShelfError."""
        if not self._size_bytes:
            raise ShelfError(NOTHING_BEGUN)
        if offset_bytes != self.received_bytes:
            raise ShelfError(OTHER_OFFSET, self.received_bytes)
        try:
            self._slots.append(part)
        except StorageError as error:
            self.forget()
            raise _refused(error) from None
        self.received_bytes += len(part)

    def commit(self) -> Library:
        """Verify the image that was taken, and use it from now on.

        Raises:
            ShelfError: what is wrong with it; what was installed before stays.

        """
        if not self._size_bytes:
            raise ShelfError(NOTHING_BEGUN)
        least_version = self.library.version if self.library else 0
        try:
            draft = self._slots.draft()
            library.verify(self._fed(draft), draft.length_bytes, self._key(), least_version)
            stored = self._slots.commit()
        except ImageError as error:
            raise ShelfError(IMAGE_REFUSED + error.code, max(0, error.at)) from None
        except StorageError as error:
            raise _refused(error) from None
        finally:
            self.forget()
        self._use(stored)
        return self.library  # type: ignore[return-value]

    def forget(self) -> None:
        """Forget what was begun."""
        self._slots.abandon()
        self.received_bytes = self._size_bytes = 0

    def _use(self, stored) -> None:
        digest = hashlib.sha256()
        at = 0
        while at < stored.length_bytes:
            digest.update(stored.read(at, _CHUNK_BYTES))
            at += _CHUNK_BYTES
        self.sha256 = digest.digest()
        self.missing = 0
        # Without the watchdog's feeding: what is looked up is read by requests, which have theirs.
        self.library = Library(stored.read)

    def _key(self) -> bytes:
        stored = self._key_slots.active()
        return stored.read(0, KEY_BYTES) if stored else b""

    def _fed(self, stored):
        feed = self._feed

        def read(offset_bytes: int, length_bytes: int) -> bytes:
            if feed:
                feed()
            return stored.read(offset_bytes, length_bytes)

        return read


def _refused(error: StorageError) -> ShelfError:
    return ShelfError(STORAGE_REFUSED + error.code, error.at)
