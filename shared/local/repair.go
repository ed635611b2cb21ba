package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// repair makes the folder fit for kfake, which cuts a log at the first batch that it cannot read and goes on. What a crash
// leaves is repaired. Other damage is refused with ErrDamaged, and nothing is changed.
//
// It returns how many bytes of records the folder holds.
func repair(dir string, log *slog.Logger) (size int64, err error) {
	parts, err := partitionDirs(dir)
	if err != nil {
		return 0, err
	}
	commits, err := readCommits(dir, log)
	if err != nil {
		return 0, err
	}
	if err := repairStateLog(filepath.Join(dir, "pids.log"), log, func(json.RawMessage) error { return nil }); err != nil {
		return 0, err
	}
	for path, p := range parts {
		l := partitionLog{partition: p, dir: path, log: log}
		if err := l.repair(commits[p]); err != nil {
			return 0, err
		}
		size += l.size
	}
	// kfake writes the sequences of producers on a clean close only. After a kill an old file would refuse newer ones; without
	// the file any are taken, so that what was in flight may be stored twice.
	if err := os.Remove(filepath.Join(dir, "seq_windows.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	return size, nil
}

// partitionDirs maps folder to partition for those in topics.json. A folder with records that it does not list means that the
// list is lost or old: kfake would write a new log over the old one.
func partitionDirs(dir string) (map[string]partition, error) {
	known, err := readTopics(dir)
	if err != nil {
		return nil, err
	}
	root := filepath.Join(dir, "partitions")
	entries, err := os.ReadDir(root)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		path := filepath.Join(root, e.Name())
		if _, ok := known[path]; ok {
			continue
		}
		segments, _, err := listSegments(path)
		if err != nil {
			return nil, err
		}
		if len(segments) > 0 {
			return nil, fmt.Errorf("%w: topics.json does not list %s: restore it, or move that folder away", ErrDamaged, path)
		}
	}
	return known, nil
}

// readTopics returns the partitions of topics.json by their folder.
func readTopics(dir string) (map[string]partition, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "topics.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, "meta.json")); err != nil { // kfake would start its files anew
		return nil, damaged("meta.json: %w", err)
	}
	var list struct {
		Topics []struct {
			Name       string `json:"name"`
			Partitions int32  `json:"partitions"`
		} `json:"topics"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, damaged("topics.json: %w", err)
	}
	known := make(map[string]partition)
	for _, t := range list.Topics {
		for id := range t.Partitions {
			name := url.PathEscape(t.Name) + "-" + strconv.Itoa(int(id))
			known[filepath.Join(dir, "partitions", name)] = partition{t.Name, id}
		}
	}
	return known, nil
}

// segmentBase is the offset in the name of a segment file, "1234.dat".
func segmentBase(name string) (int64, bool) {
	digits, ok := strings.CutSuffix(name, ".dat")
	if !ok {
		return 0, false
	}
	base, err := strconv.ParseInt(digits, 10, 64)
	return base, err == nil
}

// damaged is an error of what no crash leaves behind.
func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %w; restore the folder from a backup", ErrDamaged, fmt.Errorf(format, args...))
}
