package local

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"strings"
)

// A segment file holds record batches end to end, as on the wire: https://kafka.apache.org/documentation/#recordbatch
const (
	batchHeader   = 61
	crcStart      = 21 // the checksum covers the rest from here
	lengthEnd     = 12 // the length counts the rest from here
	magicAt       = 16
	attrTxn       = 0x10
	attrControl   = 0x20
	indexEntryLen = 15 // a segment's index has one entry per batch
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// segment is the file N.dat, which holds records from offset N on.
type segment struct {
	base int64
	path string
}

// batch is the header of a record batch.
type batch struct {
	first int64 // offset of the first record
	next  int64 // offset after the last one
	epoch int32 // leader epoch
	attrs int16
}

// repair removes the torn end of the last segment and completes the index. next is the offset that the segment must begin with.
func (s segment) repair(next int64, last bool, log *slog.Logger) (size, end int64, err error) {
	var index []byte
	gap := false
	size, total, err := s.read(func(b batch) {
		gap = gap || b.first != next
		next = b.next
		index = appendIndexEntry(index, b)
	})
	if err != nil {
		return 0, 0, err
	}
	if gap {
		return 0, 0, damaged("%s lacks records in the middle", s.path)
	}
	if size < total {
		followed := !last
		if last {
			if followed, err = s.holdsBatch(size, next); err != nil {
				return 0, 0, err
			}
		}
		if followed {
			return 0, 0, damaged("%s cannot be read at byte %d, and whole records follow", s.path, size)
		}
		log.Warn("local broker: removed the torn end of a log", "file", s.path, "bytes", total-size)
		if err := truncate(s.path, size); err != nil {
			return 0, 0, err
		}
	}
	return size, next, s.completeIndex(index)
}

// read calls visit for each whole batch from the start of the file and returns how many bytes those take.
func (s segment) read(visit func(batch)) (whole, size int64, err error) {
	f, err := os.Open(s.path)
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

// holdsBatch distinguishes damage in the middle of a log from a torn end: it reports whether a whole batch of an offset
// from next on stands behind byte from.
func (s segment) holdsBatch(from, next int64) (bool, error) {
	raw, err := os.ReadFile(s.path)
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

// completeIndex rewrites the index unless it has one entry per batch: a process killed between the two writes of a batch
// leaves it short, a full disk leaves a torn entry in its middle.
func (s segment) completeIndex(index []byte) error {
	path := strings.TrimSuffix(s.path, ".dat") + ".idx"
	info, err := os.Stat(path)
	if err == nil && info.Size() == int64(len(index)) || errors.Is(err, os.ErrNotExist) && len(index) == 0 {
		return nil
	}
	return writeSynced(path, index)
}

// appendIndexEntry adds the entry of a batch (kfake's persist.go, encodeIndexEntry) without its timestamp: loading computes that.
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

// batchSize returns the size of the batch that begins with these bytes, if one can.
func batchSize(head []byte, left int64) (int64, bool) {
	size := int64(binary.BigEndian.Uint32(head[8:])) + lengthEnd
	return size, head[magicAt] == 2 && size >= batchHeader && size <= left
}

func checksumOK(b []byte) bool {
	return binary.BigEndian.Uint32(b[17:]) == crc32.Checksum(b[crcStart:], castagnoli)
}

func truncate(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Sync(), f.Close())
}
