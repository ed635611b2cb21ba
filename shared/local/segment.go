package local

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A segment file is record batches end to end, as they go over the wire:
// https://kafka.apache.org/documentation/#recordbatch
const (
	batchHeader   = 61
	crcStart      = 21 // the checksum covers everything from here
	lengthEnd     = 12 // the length counts everything from here
	magicAt       = 16
	attrTxn       = 0x10
	attrControl   = 0x20
	indexEntryLen = 15 // beside it, one index entry per batch
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// batch is what the header of a record batch says.
type batch struct {
	first int64 // offset of the first record
	next  int64 // offset after the last one
	epoch int32 // leader epoch
	attrs int16
}

func parseBatch(b []byte) batch {
	be := binary.BigEndian
	first := int64(be.Uint64(b))
	return batch{
		first: first,
		next:  first + int64(int32(be.Uint32(b[23:]))) + 1,
		epoch: int32(be.Uint32(b[12:])),
		attrs: int16(be.Uint16(b[21:])),
	}
}

// batchSize is the size of the batch that begins with these bytes, if one can.
func batchSize(head []byte, left int64) (int64, bool) {
	size := int64(binary.BigEndian.Uint32(head[8:])) + lengthEnd
	return size, head[magicAt] == 2 && size >= batchHeader && size <= left
}

func checksumOK(b []byte) bool {
	return binary.BigEndian.Uint32(b[17:]) == crc32.Checksum(b[crcStart:], castagnoli)
}

// readSegment calls visit for each whole batch from the start of the file and
// returns how many bytes those take; what follows them cannot be read.
func readSegment(path string, visit func(batch)) (whole, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	size = info.Size()
	r := bufio.NewReaderSize(f, 1<<20)
	var buf []byte
	for size-whole >= batchHeader {
		head, err := r.Peek(batchHeader)
		if err != nil {
			return 0, 0, err
		}
		n, ok := batchSize(head, size-whole)
		if !ok {
			return whole, size, nil
		}
		if int64(cap(buf)) < n {
			buf = make([]byte, n)
		}
		buf = buf[:n]
		if _, err := io.ReadFull(r, buf); err != nil {
			return 0, 0, err
		}
		if !checksumOK(buf) {
			return whole, size, nil
		}
		visit(parseBatch(buf))
		whole += n
	}
	return whole, size, nil
}

// holdsBatch tells damage in the middle of a log from a torn end: whether a
// whole batch of an offset from next on stands anywhere behind byte from.
func holdsBatch(path string, from, next int64) (bool, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	for tail := raw[from:]; len(tail) >= batchHeader; tail = tail[1:] {
		n, ok := batchSize(tail, int64(len(tail)))
		if ok && parseBatch(tail).first >= next && checksumOK(tail[:n]) {
			return true, nil
		}
	}
	return false, nil
}

// appendIndexEntry adds what kfake notes beside a batch (persist.go,
// encodeIndexEntry). The timestamp in it is left out: loading computes it anew.
func appendIndexEntry(index []byte, b batch) []byte {
	var e [indexEntryLen]byte
	e[0] = 1
	binary.LittleEndian.PutUint32(e[2:], uint32(b.epoch))
	if b.attrs&attrTxn != 0 && b.attrs&attrControl == 0 {
		e[14] = 1
	}
	e[1] = byte(crc32.Checksum(e[2:], castagnoli))
	return append(index, e[:]...)
}

// completeIndex writes the index anew unless it has one whole entry per batch. A
// process killed between the two writes of a batch leaves it short; a full disk
// leaves a torn entry in its middle, behind which every entry is misread.
func completeIndex(path string, index []byte) error {
	have, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	whole := len(have) >= len(index) // kfake cuts what is too long
	for at := 0; whole && at < len(index); at += indexEntryLen {
		whole = have[at+1] == byte(crc32.Checksum(have[at+2:at+indexEntryLen], castagnoli))
	}
	if whole {
		return nil
	}
	return writeSynced(path, os.O_TRUNC, index)
}

// padding is a batch without records that takes the offsets from first up to
// next. Kafka's own cleaner leaves such batches, so clients know them.
func padding(first, next int64) ([]byte, error) {
	delta := next - first - 1
	if delta < 0 || delta > 1<<31-1 {
		return nil, damaged("offsets %d to %d are missing", first, next)
	}
	b := kmsg.RecordBatch{
		FirstOffset: first, LastOffsetDelta: int32(delta), Magic: 2,
		// A maximum of -1 keeps the batch out of look-ups by time.
		FirstTimestamp: time.Now().UnixMilli(), MaxTimestamp: -1,
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1,
	}
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-lengthEnd))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[crcStart:], castagnoli))
	return raw, nil
}
