package local

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// repair prepares the folder for kfake, in the formats of its persist.go, version 1. It cuts off the torn end that a kill or a
// power cut leaves in a log of records. kfake would cut at any other damage as well: that is refused, and the file not changed.
func repair(dir string, log *slog.Logger) error {
	files, _ := fs.Glob(os.DirFS(dir), "partitions/*/*.dat") // dir may have the characters of a pattern in its name
	if err := checkTopics(dir, files); err != nil {
		return err
	}
	base := func(name string) int64 {
		n, _ := strconv.ParseInt(strings.TrimSuffix(path.Base(name), ".dat"), 10, 64)
		return n
	}
	slices.SortFunc(files, func(a, b string) int {
		return cmp.Or(cmp.Compare(path.Dir(a), path.Dir(b)), cmp.Compare(base(a), base(b)))
	})
	var s snapshot
	p := producers{of: map[windowKey]*window{}}
	for i, name := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		next, whole, torn, err := checkSegment(file, base(name), func(batch []byte) { p.add(path.Dir(name), batch) })
		if err != nil {
			return err
		}
		last := i == len(files)-1 || path.Dir(files[i+1]) != path.Dir(name)
		if !last && (torn > 0 || next != base(files[i+1])) {
			return damaged("%s lacks records at its end", file)
		}
		if torn > 0 {
			log.Warn("embedded broker: truncating the torn end of a file", "file", file, "bytes", torn)
			if err := truncate(file, whole); err != nil {
				return err
			}
		}
		if s.Segments = append(s.Segments, segment{base(name), whole}); last {
			s.Version, s.HighWatermark, s.LastStableOffset, s.LogStartOffset = 1, next, next, s.Segments[0].Base
			if err := s.write(filepath.Dir(file), log); err != nil {
				return err
			}
			s = snapshot{}
		}
	}
	for _, name := range []string{"groups.log", "pids.log"} {
		file := filepath.Join(dir, name)
		if err := restoreStateLog(file); err != nil {
			return err
		}
		if err := repairStateLog(file, log); err != nil {
			return err
		}
	}
	var err error
	if len(files) > 0 {
		err = writeHint(filepath.Join(dir, "seq_windows.json"), map[string]any{"version": 1, "windows": p.windows}, log)
	}
	// kfake can do without an index, and would misread it after a kill: it has the leader epoch and the transaction of each batch by
	// its number, and a kill leaves it short.
	stale, _ := fs.Glob(os.DirFS(dir), "partitions/*/*.idx")
	for _, name := range stale {
		err = errors.Join(err, present(os.Remove(filepath.Join(dir, filepath.FromSlash(name)))))
	}
	return err
}

// snapshot is what kfake knows of a partition from a clean close. Without one it holds all segments of all partitions in memory
// until it has read the last.
type snapshot struct {
	Version          int       `json:"version"`
	HighWatermark    int64     `json:"high_watermark"`
	LastStableOffset int64     `json:"last_stable_offset"`
	LogStartOffset   int64     `json:"log_start_offset"`
	Segments         []segment `json:"segments"`
}

type segment struct {
	Base int64 `json:"base_offset"`
	Size int64 `json:"size"`
}

// write replaces the snapshot in a partition's folder, unless that is of these segments: it then has aborted transactions, too.
func (s *snapshot) write(dir string, log *slog.Logger) error {
	file := filepath.Join(dir, "snapshot.json")
	var kept snapshot
	raw, err := os.ReadFile(file)
	if err == nil && json.Unmarshal(raw, &kept) == nil && slices.Equal(kept.Segments, s.Segments) {
		return nil
	}
	return writeHint(file, s, log)
}

// writeHint replaces a file that kfake can do without, as it must while the disk is full.
func writeHint(file string, v any, log *slog.Logger) error {
	raw, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(file, raw, 0o600)
	}
	if err != nil {
		log.Warn("embedded broker: starting without a file that cannot be written", "file", file, "error", err)
		return present(os.Remove(file))
	}
	return nil
}

func truncate(file string, size int64) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}

// checkTopics refuses records that topics.json does not list, because kfake would start new logs over them.
func checkTopics(dir string, files []string) error {
	var list struct {
		Topics []struct {
			Name       string `json:"name"`
			Partitions int    `json:"partitions"`
		} `json:"topics"`
	}
	for _, name := range []string{"meta.json", "topics.json"} {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if len(files) > 0 && (err != nil || json.Unmarshal(raw, &list) != nil) {
			return damaged("%s is missing or no JSON", name)
		}
	}
	listed := map[string]bool{}
	for _, t := range list.Topics {
		for n := range t.Partitions {
			listed[fmt.Sprintf("%s-%d", url.PathEscape(t.Name), n)] = true
		}
	}
	for _, name := range files {
		info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(name)))
		if folder := path.Dir(name); err != nil || info.Size() > 0 && !listed[path.Base(folder)] {
			return damaged("topics.json does not list %s: move that folder away if its topic was deleted", folder)
		}
	}
	return nil
}

// checkSegment distinguishes damage in the middle of a log from a torn end, behind which no whole batch of records stands: kfake
// writes the markers of transactions while a batch is not synced. next is the offset behind the last record. visit is called with
// the batches before the torn end.
func checkSegment(file string, first int64, visit func(batch []byte)) (next, whole, torn int64, err error) {
	b, err := os.ReadFile(file)
	at, next := first, first
	size := wholeBatches(b, func(batch []byte) bool {
		if at = int64(binary.BigEndian.Uint64(batch)); at == next {
			next += int64(binary.BigEndian.Uint32(batch[lastOffsetDeltaAt:])) + 1
			at = next
			visit(batch)
		}
		return at == next
	})
	if at > next {
		return 0, 0, 0, damaged("%s lacks records in the middle", file)
	}
	rest := b[size:]
	if at < next { // a power cut has zeroed the offset, which the checksum does not cover
		rest = rest[1:]
	}
	for ; len(rest) > 0; rest = rest[1:] {
		records := false
		wholeBatches(rest, func(batch []byte) bool {
			records = records || binary.BigEndian.Uint16(batch[attributesAt:])&controlBatch == 0
			return !records
		})
		if records {
			return 0, 0, 0, damaged("%s cannot be read at byte %d, and whole records follow", file, size)
		}
	}
	return next, int64(size), int64(len(b) - size), err
}

// A record batch (https://kafka.apache.org/documentation/#recordbatch).
const (
	batchHeader       = 61
	lengthEnd         = 12 // the length counts the rest from here
	magicAt           = 16
	crcAt             = 17
	attributesAt      = 21 // the checksum covers the rest from here
	controlBatch      = 1 << 5
	lastOffsetDeltaAt = 23
	producerIDAt      = 43
	epochAt           = 51
	sequenceAt        = 53
	recordsAt         = 57
)

// wholeBatches calls visit with the whole batches from the start of b until it returns false, and returns how many bytes those
// before are.
func wholeBatches(b []byte, visit func(batch []byte) bool) (size int) {
	for rest := b; len(rest) >= batchHeader && rest[magicAt] == 2; rest = b[size:] {
		n := lengthEnd + int(binary.BigEndian.Uint32(rest[8:]))
		if n < batchHeader || n > len(rest) ||
			crc32.Checksum(rest[attributesAt:n], castagnoli) != binary.BigEndian.Uint32(rest[crcAt:]) || !visit(rest[:n]) {
			break
		}
		size += n
	}
	return size
}

// repairStateLog removes torn entries: one at the end after a kill, and those that kfake left while the disk was full and
// appended to. kfake reads nothing behind a torn entry. An entry is [length of the data 4][checksum 4][data], little-endian.
func repairStateLog(file string, log *slog.Logger) error {
	raw, err := os.ReadFile(file)
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
	log.Warn("embedded broker: removed torn entries from a file", "file", file, "bytes", len(raw)-len(whole))
	f, err := os.OpenFile(file+".tmp", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(whole)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(file+".tmp", file)
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("log is damaged: %s; restore the folder from a backup", fmt.Sprintf(format, args...))
}
