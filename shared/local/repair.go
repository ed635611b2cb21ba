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
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// repair prepares the folder for kfake, which cuts a log at the first batch that it cannot read and continues. It
// repairs what a kill, a power cut and a full disk leave behind. Other damage is refused with ErrDamaged, and that file
// is not changed.
//
// It returns how many bytes of records the folder holds.
func repair(dir string, log *slog.Logger) (size int64, err error) {
	files, err := fs.Glob(os.DirFS(dir), "partitions/*/*.dat") // dir may have the characters of a pattern in its name
	if err != nil {
		return 0, err
	}
	for i, name := range files {
		files[i] = filepath.Join(dir, filepath.FromSlash(name))
	}
	if err := checkTopics(dir, files); err != nil {
		return 0, err
	}
	for _, name := range []string{"groups.log", "pids.log"} {
		if err := repairStateLog(filepath.Join(dir, name), log); err != nil {
			return 0, err
		}
	}
	partitions := map[string][]segment{}
	for _, path := range files {
		if base, err := strconv.ParseInt(strings.TrimSuffix(filepath.Base(path), ".dat"), 10, 64); err == nil {
			folder := filepath.Dir(path)
			partitions[folder] = append(partitions[folder], segment{base, path})
		}
	}
	for _, segments := range partitions {
		slices.SortFunc(segments, func(a, b segment) int { return cmp.Compare(a.base, b.base) })
		next := segments[0].base
		for i, s := range segments {
			n, end, err := s.repair(next, i == len(segments)-1, log)
			if err != nil {
				return 0, err
			}
			size, next = size+n, end
		}
	}
	// kfake writes the sequences of producers only when it closes. After a kill an old file would refuse newer ones; without
	// the file it accepts any, so that a producer's records in flight may be stored twice.
	if err := os.Remove(filepath.Join(dir, "seq_windows.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	return size, nil
}

// checkTopics refuses records that topics.json does not list, because kfake would start new logs over them.
func checkTopics(dir string, files []string) error {
	if len(files) == 0 {
		return nil
	}
	var list struct {
		Topics []struct {
			Name       string `json:"name"`
			Partitions int    `json:"partitions"`
		} `json:"topics"`
	}
	for _, name := range []string{"meta.json", "topics.json"} {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || json.Unmarshal(raw, &list) != nil {
			return damaged("%s is missing or no JSON", name)
		}
	}
	listed := map[string]bool{}
	for _, t := range list.Topics {
		for n := range t.Partitions {
			listed[fmt.Sprintf("%s-%d", url.PathEscape(t.Name), n)] = true
		}
	}
	for _, path := range files {
		folder := filepath.Dir(path)
		if info, err := os.Stat(path); err != nil || info.Size() > 0 && !listed[filepath.Base(folder)] {
			return damaged("topics.json does not list %s: move that folder away if its topic was deleted", folder)
		}
	}
	return nil
}

// entryPrefix is the length and the checksum of an entry of groups.log and pids.log, little-endian: [length 4][checksum
// 4][version 2][JSON] (kfake's persist.go, writeEntry). The length does not count the prefix.
const entryPrefix = 8

// repairStateLog removes torn entries: one at the end after a kill, and those that kfake left while the disk was full
// and appended to. kfake reads nothing behind a torn entry.
func repairStateLog(path string, log *slog.Logger) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	whole := make([]byte, 0, len(raw))
	for rest := raw; len(rest) >= entryPrefix; {
		end := entryPrefix + int64(binary.LittleEndian.Uint32(rest))
		if end < entryPrefix+2 || end > int64(len(rest)) ||
			crc32.Checksum(rest[entryPrefix:end], castagnoli) != binary.LittleEndian.Uint32(rest[4:]) {
			rest = rest[1:]
			continue
		}
		whole = append(whole, rest[:end]...)
		rest = rest[end:]
	}
	if len(whole) == len(raw) {
		return nil
	}
	log.Warn("local broker: removed torn entries from a file", "file", path, "bytes", len(raw)-len(whole))
	if err := writeSynced(path+".tmp", whole); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s; restore the folder from a backup", ErrDamaged, fmt.Sprintf(format, args...))
}
