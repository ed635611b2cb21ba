package local

import (
	"cmp"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// Sequence windows are how the broker knows a producer's repeat. kfake writes
// them on a clean close only: after a kill it knows none, so a batch that was
// stored but not acknowledged is stored again when its producer, alive and
// well, repeats it; and after a clean close followed by a kill it believes the
// old file, refuses the producer's newer sequence, and the producer stalls for
// seconds. The log says it all, so the windows are computed from it on every
// Open, as Kafka does.

const (
	windowLen = 5 // batches a producer may have in flight
	// Only what was in flight when the broker stopped can be repeated, which the
	// last producers of a partition wrote; the file does not grow with history.
	windowsPerPartition = 1000
)

type (
	// window is one entry of seq_windows.json (persist.go, persistSeqWindowEntry).
	window struct {
		Producer int64            `json:"pid"`
		Topic    string           `json:"topic"`
		Part     int32            `json:"partition"`
		Entries  [windowLen]inSeq `json:"entries"`
		Count    uint8            `json:"count"`
		At       uint8            `json:"at"`
		Epoch    int16            `json:"epoch"`
		Seen     bool             `json:"seen"`
		NextSeq  int32            `json:"next_seq"`

		last int64 // offset of the producer's last batch
	}
	inSeq struct {
		First  int32 `json:"first_seq"`
		Next   int32 `json:"next_seq"`
		Offset int64 `json:"offset"`
	}
)

// windows are those of one partition, by producer.
type windows map[int64]*window

// add notes a batch as kfake does when it accepts one (txns.go, pushAndValidate).
func (ws windows) add(of partition, b batch) {
	if b.producer < 0 || b.attrs&attrControl != 0 {
		return
	}
	w := ws[b.producer]
	if w == nil || w.Epoch != b.prodEra {
		w = &window{Producer: b.producer, Topic: of.topic, Part: of.id, Epoch: b.prodEra, Seen: true}
		ws[b.producer] = w
	}
	w.NextSeq = int32((int64(b.sequence) + int64(b.records)) % math.MaxInt32)
	w.Entries[w.At] = inSeq{First: b.sequence, Next: w.NextSeq, Offset: b.first}
	w.At = (w.At + 1) % windowLen
	w.Count = min(w.Count+1, windowLen)
	w.last = b.first
}

func (ws windows) latest() []*window {
	all := make([]*window, 0, len(ws))
	for _, w := range ws {
		all = append(all, w)
	}
	slices.SortFunc(all, func(a, b *window) int { return cmp.Compare(b.last, a.last) })
	return all[:min(len(all), windowsPerPartition)]
}

func writeWindows(dir string, all []*window) error {
	raw, err := json.Marshal(map[string]any{"version": 1, "windows": all})
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "seq_windows.json")
	if err := writeSynced(path+".tmp", os.O_TRUNC, raw); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}
