package local

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
)

// kfake appends group and producer state as entries of
// [length 4][checksum 4][version 2][JSON], little-endian (persist.go, writeEntry).
const entryPrefix = 8 // length does not count itself and the checksum

// repairStateLog calls visit for each whole entry and takes out what lies between
// them: a torn end after a crash, and torn entries that kfake left when the disk
// was full and wrote on behind. kfake itself reads nothing behind a torn entry.
func repairStateLog(path string, log *slog.Logger, visit func(json.RawMessage) error) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	whole := make([]byte, 0, len(raw))
	for rest := raw; len(rest) >= entryPrefix; {
		entry, ok := wholeEntry(rest)
		if !ok {
			rest = rest[1:]
			continue
		}
		if err := visit(json.RawMessage(entry[entryPrefix+2:])); err != nil {
			return damaged("%s: %w", filepath.Base(path), err)
		}
		whole = append(whole, entry...)
		rest = rest[len(entry):]
	}
	if len(whole) == len(raw) {
		return nil
	}
	log.Warn("local broker: removed torn entries from a file", "file", path, "bytes", len(raw)-len(whole))
	if err := writeSynced(path+".tmp", os.O_TRUNC, whole); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// wholeEntry returns the entry that the bytes begin with, if one does.
func wholeEntry(raw []byte) (entry []byte, ok bool) {
	n := int64(binary.LittleEndian.Uint32(raw))
	if n < 2 || n > int64(len(raw)-entryPrefix) {
		return nil, false
	}
	entry = raw[:entryPrefix+n]
	return entry, crc32.Checksum(entry[entryPrefix:], castagnoli) == binary.LittleEndian.Uint32(raw[4:])
}

type (
	partition struct {
		topic string
		id    int32
	}
	committer struct {
		partition
		group string
	}
	// groupEntry is what concerns us of an entry of groups.log.
	groupEntry struct {
		Type   string `json:"type"`
		Group  string `json:"g"`
		Topic  string `json:"t"`
		Part   int32  `json:"p"`
		Offset int64  `json:"o"`
	}
)

// readCommits returns, per partition, the highest offset that any group has committed.
func readCommits(dir string, log *slog.Logger) (map[partition]int64, error) {
	commits := make(map[committer]int64)
	err := repairStateLog(filepath.Join(dir, "groups.log"), log, func(raw json.RawMessage) error {
		var e groupEntry
		if err := json.Unmarshal(raw, &e); err != nil {
			return err
		}
		by := committer{partition{e.Topic, e.Part}, e.Group}
		switch e.Type {
		case "commit":
			commits[by] = e.Offset
		case "delete":
			delete(commits, by)
		}
		return nil
	})
	highest := make(map[partition]int64)
	for by, offset := range commits {
		highest[by.partition] = max(highest[by.partition], offset)
	}
	return highest, err
}

// cut shortens a file for good.
func cut(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Sync(), f.Close())
}

// writeSynced writes a file, with os.O_TRUNC or os.O_APPEND, down to the disk.
func writeSynced(path string, how int, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|how, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}
