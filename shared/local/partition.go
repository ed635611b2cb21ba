package local

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// partitionLog is the folder of one partition: N.dat (records from offset N
// on), N.idx beside it, and snapshot.json of the last clean close.
type partitionLog struct {
	partition
	dir string
	log *slog.Logger

	end  int64 // offset after the last whole batch; -1: no segment
	size int64 // bytes of whole batches
}

// repair checks the whole log, cuts off a torn end, and keeps offsets that groups hold from being given out again.
func (l *partitionLog) repair(committed int64) error {
	l.end = -1
	segments, top, err := listSegments(l.dir)
	if err != nil {
		return err
	}
	for i, s := range segments {
		if err := l.repairSegment(s, i == len(segments)-1); err != nil {
			return err
		}
	}
	seen, err := l.snapshotEnd()
	if err != nil {
		return err
	}
	return l.pad(max(seen, committed, top), segments)
}

type segment struct {
	base int64
	path string // of the .dat file
}

func (s segment) index() string { return strings.TrimSuffix(s.path, ".dat") + ".idx" }

// listSegments returns the segment files that hold anything, in order, and the
// highest offset that any of them begins with.
func listSegments(dir string) (segments []segment, top int64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, 0, err
	}
	for _, e := range entries {
		base, ok := segmentBase(e.Name())
		if !ok {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, 0, err
		}
		top = max(top, base)
		if info.Size() > 0 {
			segments = append(segments, segment{base, filepath.Join(dir, e.Name())})
		}
	}
	slices.SortFunc(segments, func(a, b segment) int { return cmp.Compare(a.base, b.base) })
	return segments, top, nil
}

func (l *partitionLog) repairSegment(s segment, last bool) error {
	if l.end < 0 {
		l.end = s.base
	}
	var index []byte
	gap, at := int64(-1), int64(0)
	whole, size, err := readSegment(s.path, func(b batch) {
		if b.first != l.end && gap < 0 {
			gap, at = l.end, b.first
		}
		l.end = b.next
		index = appendIndexEntry(index, b)
	})
	if err != nil {
		return err
	}
	l.size += whole
	if gap >= 0 {
		return damaged("%s has offset %d where %d is next", s.path, at, gap)
	}
	if whole < size {
		later := !last
		if last {
			if later, err = holdsBatch(s.path, whole, max(l.end, s.base)); err != nil {
				return err
			}
		}
		if later {
			return damaged("%s cannot be read at byte %d, and whole records follow", s.path, whole)
		}
		l.log.Warn("local broker: removed the torn end of a log", "file", s.path, "bytes", size-whole)
		if err := cut(s.path, whole); err != nil {
			return err
		}
	}
	return completeIndex(s.index(), index)
}

// snapshotEnd is where the log ended at the last clean close.
func (l *partitionLog) snapshotEnd() (int64, error) {
	raw, err := os.ReadFile(filepath.Join(l.dir, "snapshot.json"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var s struct {
		End int64 `json:"high_watermark"`
	}
	if json.Unmarshal(raw, &s) == nil {
		return s.End, nil
	}
	return 0, nil // kfake then reads the log instead, and so do we
}

// pad continues the offsets where they stopped. kfake restarts a partition that DeleteRecords has emptied at 0, and one that
// lost its end in a power cut at what is left: a group that has committed more would skip new records.
func (l *partitionLog) pad(target int64, segments []segment) error {
	var (
		from = l.end
		at   segment
		how  = os.O_APPEND
	)
	switch {
	case l.size == 0: // nothing to bridge, one offset carries the number
		if from = max(target, l.end) - 1; from < 0 {
			return nil
		}
		target, how = from+1, os.O_TRUNC
		at = segment{from, filepath.Join(l.dir, fmt.Sprintf("%d.dat", from))}
	case target <= l.end:
		return nil
	default:
		at = segments[len(segments)-1]
		l.log.Warn("local broker: the end of a log is lost; new records get the offsets after it",
			"topic", l.topic, "partition", l.id, "from", from, "to", target)
	}
	raw, err := padding(from, target)
	if err != nil {
		return fmt.Errorf("%s: %w", l.dir, err)
	}
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return err
	}
	if err := writeSynced(at.path, how, raw); err != nil {
		return err
	}
	return writeSynced(at.index(), how, appendIndexEntry(nil, parseBatch(raw)))
}
