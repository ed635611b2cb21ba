package local

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// repair prepares the folder for kfake, in the formats of its persist.go, version 1. kfake cuts off the torn end that a kill or a
// power cut leaves in a log of records, but it cuts at any other damage as well: that is refused, and the file is not changed.
func repair(dir string, log *slog.Logger) error {
	files, err := fs.Glob(os.DirFS(dir), "partitions/*/*.dat") // dir may have the characters of a pattern in its name
	if err != nil {
		return err
	}
	for _, name := range []string{"meta.json", "topics.json"} { // without these kfake would start new logs over the records
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if len(files) > 0 && (err != nil || !json.Valid(raw)) {
			return damaged("%s is missing or no JSON", name)
		}
	}
	for _, name := range files {
		if err := checkSegment(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			return err
		}
	}
	for _, name := range []string{"groups.log", "pids.log"} {
		if err := repairStateLog(filepath.Join(dir, name), log); err != nil {
			return err
		}
	}
	// What kfake can do without, and would misread after a kill. An index has the leader epoch and the transaction of each batch by its
	// number, and neither is used here; a kill leaves it short. The sequences of producers are written only by Close: old ones would
	// refuse newer records, and without them a producer's records in flight may be stored twice.
	stale, err := fs.Glob(os.DirFS(dir), "partitions/*/*.idx")
	for _, name := range append(stale, "seq_windows.json") {
		if e := os.Remove(filepath.Join(dir, filepath.FromSlash(name))); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// checkSegment distinguishes damage in the middle of a log from a torn end: no whole batch stands behind that.
func checkSegment(path string) error {
	b, err := os.ReadFile(path)
	torn := b[wholeBatches(b):]
	for i := range torn {
		if wholeBatches(torn[i:]) > 0 {
			return damaged("%s cannot be read at byte %d, and whole records follow", path, len(b)-len(torn))
		}
	}
	return err
}

// wholeBatches is how many bytes from the start of b are whole batches (https://kafka.apache.org/documentation/#recordbatch).
func wholeBatches(b []byte) (size int) {
	const header, magicAt, crcAt, crcStart, lengthEnd = 61, 16, 17, 21, 12
	for rest := b; len(rest) >= header && rest[magicAt] == 2; rest = b[size:] {
		n := lengthEnd + int(binary.BigEndian.Uint32(rest[8:]))
		if n < header || n > len(rest) ||
			crc32.Checksum(rest[crcStart:n], castagnoli) != binary.BigEndian.Uint32(rest[crcAt:]) {
			break
		}
		size += n
	}
	return size
}

// repairStateLog removes torn entries: one at the end after a kill, and those that kfake left while the disk was full and appended
// to. kfake reads nothing behind a torn entry. An entry is [length of the data 4][checksum 4][data], little-endian.
func repairStateLog(path string, log *slog.Logger) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	const prefix, least = 8, 10 // the data begin with a version of 2 bytes
	var whole []byte
	for rest := raw; len(rest) >= least; {
		end := prefix + int64(binary.LittleEndian.Uint32(rest))
		if end < least || end > int64(len(rest)) ||
			crc32.Checksum(rest[prefix:end], castagnoli) != binary.LittleEndian.Uint32(rest[4:]) {
			rest = rest[1:]
			continue
		}
		whole, rest = append(whole, rest[:end]...), rest[end:]
	}
	if err != nil || len(whole) == len(raw) {
		return err
	}
	log.Warn("embedded broker: removed torn entries from a file", "file", path, "bytes", len(raw)-len(whole))
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(whole)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("log is damaged: %s; restore the folder from a backup", fmt.Sprintf(format, args...))
}
