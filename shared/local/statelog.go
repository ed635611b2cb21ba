package local

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
)

// kfake appends group and producer state as entries of
// [length 4][checksum 4][version 2][JSON], little-endian (persist.go, writeEntry).
const entryPrefix = 8 // length does not count itself and the checksum

// mendStateLog calls visit for each whole entry and cuts off what follows
// them. kfake only skips a torn end and then appends behind it, where the next
// start reads nothing: every commit after a crash would be lost with the next one.
func mendStateLog(path string, log *slog.Logger, visit func(json.RawMessage) error) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	whole := 0
	for rest := raw; len(rest) >= entryPrefix; rest = raw[whole:] {
		n := int64(binary.LittleEndian.Uint32(rest))
		if n < 2 || n > int64(len(rest)-entryPrefix) {
			break
		}
		body := rest[entryPrefix : entryPrefix+n]
		if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(rest[4:]) {
			break
		}
		if err := visit(json.RawMessage(body[2:])); err != nil {
			return fmt.Errorf("%w: %s: %w; restore the folder from a copy", ErrDamaged, filepath.Base(path), err)
		}
		whole += entryPrefix + int(n)
	}
	if whole == len(raw) {
		return nil
	}
	log.Warn("local broker: cut the torn end off a file", "file", path, "bytes", len(raw)-whole)
	return cut(path, int64(whole))
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
	err := mendStateLog(filepath.Join(dir, "groups.log"), log, func(raw json.RawMessage) error {
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
