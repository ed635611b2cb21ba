package local

import (
	"encoding/binary"
	"math"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
)

// producers are the last batches of each producer in each partition. With them kfake recognizes a repeated batch and refuses one
// that is out of order. kfake saves them only when it is closed, so they are taken from the log.
type producers struct {
	windows []*window
	of      map[windowKey]*window
}

type windowKey struct {
	folder string // of the partition
	pid    int64
}

// window is a producer's last batches in a partition, as kfake's seq_windows.json has them.
type window struct {
	PID     int64       `json:"pid"`
	Topic   string      `json:"topic"`
	Part    int64       `json:"partition"`
	Entries [5]sequence `json:"entries"` // a ring
	Count   int         `json:"count"`
	At      int         `json:"at"` // of the next entry
	Epoch   int16       `json:"epoch"`
	Seen    bool        `json:"seen"`
	NextSeq int32       `json:"next_seq"`
}

type sequence struct {
	First  int32 `json:"first_seq"`
	Next   int32 `json:"next_seq"`
	Offset int64 `json:"offset"`
}

// add notes a batch. Those of a partition come in the order of its log.
func (p *producers) add(folder string, batch []byte) {
	pid := int64(binary.BigEndian.Uint64(batch[producerIDAt:]))
	if pid < 0 || binary.BigEndian.Uint16(batch[attributesAt:])&controlBatch != 0 {
		return
	}
	w := p.of[windowKey{folder, pid}]
	if w == nil {
		name := filepath.Base(folder)
		dash := strings.LastIndexByte(name, '-')
		topic, _ := url.PathUnescape(name[:dash]) // checkTopics has found the folder
		n, _ := strconv.ParseInt(name[dash+1:], 10, 32)
		w = &window{PID: pid, Topic: topic, Part: n, Seen: true}
		p.windows, p.of[windowKey{folder, pid}] = append(p.windows, w), w
	}
	if epoch := int16(binary.BigEndian.Uint16(batch[epochAt:])); epoch != w.Epoch { // its sequence starts again
		w.Epoch, w.Count, w.At = epoch, 0, 0
	}
	first, records := int32(binary.BigEndian.Uint32(batch[sequenceAt:])), int32(binary.BigEndian.Uint32(batch[recordsAt:]))
	w.NextSeq = int32((int64(first) + int64(records)) % math.MaxInt32)
	w.Entries[w.At] = sequence{first, w.NextSeq, int64(binary.BigEndian.Uint64(batch))}
	w.Count, w.At = min(w.Count+1, len(w.Entries)), (w.At+1)%len(w.Entries)
}
