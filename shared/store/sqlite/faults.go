package sqlite

import (
	"errors"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

func reason(err error) string {
	switch code(err) {
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED, lib.SQLITE_PROTOCOL:
		return "is locked by another process"
	case lib.SQLITE_FULL:
		return "cannot be written: the disk is full"
	case lib.SQLITE_READONLY, lib.SQLITE_CANTOPEN, lib.SQLITE_PERM, lib.SQLITE_AUTH:
		return "cannot be opened or written: it must be a file in a folder that exists, and this user needs the right to read " +
			"and write both"
	case lib.SQLITE_NOTADB:
		return "is not a SQLite database: give another path, or move the file away"
	case lib.SQLITE_CORRUPT:
		return "is damaged: stop all programs that use it and restore it from a copy, or (a read model) by `sipeat rebuild`"
	}
	return "failed"
}

// code is SQLite's primary result code; 0 if the error is not SQLite's.
func code(err error) int {
	var e *driver.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

func locked(err error) bool {
	c := code(err)
	return c == lib.SQLITE_BUSY || c == lib.SQLITE_LOCKED || c == lib.SQLITE_PROTOCOL
}
