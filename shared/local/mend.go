package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// mend makes the folder fit for kfake, which loads it without a complaint
// whatever it holds: it cuts a log at the first batch it cannot read, on disk,
// and goes on with what is left. What a crash leaves is repaired; what no
// crash explains is refused with ErrDamaged and not touched.
//
// It returns how many bytes of records the folder holds.
func mend(dir string, log *slog.Logger) (size int64, err error) {
	parts, err := partitionDirs(dir)
	if err != nil {
		return 0, err
	}
	commits, err := readCommits(dir, log)
	if err != nil {
		return 0, err
	}
	if err := mendStateLog(filepath.Join(dir, "pids.log"), log, func(json.RawMessage) error { return nil }); err != nil {
		return 0, err
	}
	var (
		mu   sync.Mutex
		all  []*window
		work errgroup.Group
	)
	work.SetLimit(runtime.GOMAXPROCS(0))
	for path, p := range parts {
		work.Go(func() error {
			l := partitionLog{partition: p, dir: path, log: log}
			if err := l.mend(commits[p]); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, l.windows.latest()...)
			size += l.size
			return nil
		})
	}
	if err := work.Wait(); err != nil {
		return 0, err
	}
	return size, writeWindows(dir, all)
}

// partitionDirs maps folder to partition for all that topics.json knows. One
// that it does not know but that holds records means that the list is lost or
// older than the data: kfake would write a new log over the old one.
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
			return nil, fmt.Errorf("%w: %s holds records of a topic that topics.json does not list; restore topics.json or move that folder away", ErrDamaged, path)
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
	// Without meta.json kfake takes the folder for a new one and starts its files anew.
	if _, err := os.Stat(filepath.Join(dir, "meta.json")); err != nil {
		return nil, fmt.Errorf("%w: topics.json without meta.json: %w; restore the folder from a copy", ErrDamaged, err)
	}
	var list struct {
		Topics []struct {
			Name       string `json:"name"`
			Partitions int32  `json:"partitions"`
		} `json:"topics"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("%w: topics.json: %w; restore the folder from a copy", ErrDamaged, err)
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
