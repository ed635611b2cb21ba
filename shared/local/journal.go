package local

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// journal holds what was appended to files since they were last synced, so that one sync of one file, whose size mostly does not
// change, is enough for all of them: a sync of each takes several times as long.
//
// It is a sequence of frames: a header, then the appended pieces as encoding/gob has them. Once it is large the files themselves
// are synced, and its next generation of frames overwrites it from the start.
type journal struct {
	dir        string
	file       *os.File
	fsync      func(*os.File) error
	generation uint64
	at, limit  int64           // of bytes
	pending    map[string]bool // files with bytes that are only synced here
}

// piece is what was appended to a file.
type piece struct {
	Path   string // in the data folder
	Offset int64
	Data   []byte
}

// journalHeader is the size of a frame's header: CRC-32C of all that follows it, size of the body, generation.
const journalHeader = 4 + 4 + 8

func journalFile(dir string) string { return filepath.Join(dir, "appended.journal") }

// openJournal opens the journal and empties it, without a need for free space if it was used before. The files must be synced.
func openJournal(dir string, fsync func(*os.File) error) (*journal, error) {
	f, err := os.OpenFile(journalFile(dir), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	j := &journal{dir: dir, file: f, fsync: fsync, limit: 32 << 20, generation: uint64(time.Now().UnixNano())} // a new one
	if err := j.reset(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return j, nil
}

// reset begins the next generation. The files must be synced.
func (j *journal) reset() error {
	j.generation++
	j.at, j.pending = 0, map[string]bool{}
	return j.append(nil) // over the first frame of the last generation, which must not be restored any more
}

// append returns once the pieces are on the disk.
func (j *journal) append(pieces []piece) error {
	frame := bytes.NewBuffer(make([]byte, journalHeader))
	if err := gob.NewEncoder(frame).Encode(pieces); err != nil {
		return err
	}
	b := frame.Bytes()
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-journalHeader))
	binary.LittleEndian.PutUint64(b[8:], j.generation)
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	if _, err := j.file.WriteAt(b, j.at); err != nil {
		return err
	}
	if err := j.fsync(j.file); err != nil {
		return fmt.Errorf("sync %s: %w (%w)", j.file.Name(), err, errSync)
	}
	j.at += int64(len(b))
	for _, p := range pieces {
		j.pending[p.Path] = true
	}
	return nil
}

// restoreJournal writes what a power cut may have taken from the files. They are to be synced before the journal is opened.
func restoreJournal(dir string, log *slog.Logger) error {
	files, lacks, err := readJournal(dir)
	if err != nil {
		return err
	}
	for path, pieces := range files {
		if err := restoreFile(filepath.Join(dir, path), pieces, lacks, log); err != nil {
			return err
		}
	}
	return nil
}

// readJournal returns the pieces by their paths. lacks says that a frame among those of the same generation is damaged.
func readJournal(dir string) (files map[string][]piece, lacks bool, err error) {
	f, err := os.Open(journalFile(dir))
	if err != nil {
		return nil, false, present(err)
	}
	defer f.Close()
	files = map[string][]piece{}
	for in, generation, bad := bufio.NewReader(f), uint64(0), false; ; {
		header, body := make([]byte, journalHeader), bytes.NewBuffer(nil)
		if _, err = io.ReadFull(in, header); err == nil {
			_, err = io.CopyN(body, in, int64(binary.LittleEndian.Uint32(header[4:])))
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return files, lacks, nil
		}
		if err != nil {
			return nil, false, err
		}
		of := binary.LittleEndian.Uint64(header[8:])
		sum := crc32.Update(crc32.Checksum(header[4:], castagnoli), castagnoli, body.Bytes())
		if sum != binary.LittleEndian.Uint32(header) {
			bad = true // the last frame if it was not acknowledged
			continue
		}
		if generation == 0 && !bad {
			generation = of
		}
		if of != generation {
			return files, lacks, nil
		}
		var pieces []piece
		if err := gob.NewDecoder(body).Decode(&pieces); err != nil {
			return nil, false, damaged("%s: %v", f.Name(), err)
		}
		for _, p := range pieces {
			files[p.Path] = append(files[p.Path], p)
		}
		lacks = bad
	}
}

// restoreFile writes pieces where the file does not have them. It leaves out a file that was deleted, or deleted and made again
// without acknowledgement, and one with whole batches that are others: a version of this program without a journal wrote them, or
// they are of a backup.
func restoreFile(path string, pieces []piece, lacks bool, log *slog.Logger) error {
	now, err := os.ReadFile(path)
	if err != nil {
		return present(err)
	}
	restored, gap := bytes.Clone(now), false
	for _, p := range pieces {
		if gap = gap || p.Offset > int64(len(restored)); gap {
			continue
		}
		more := int(p.Offset) + len(p.Data) - len(restored)
		restored = append(restored, make([]byte, max(0, more))...)
		copy(restored[p.Offset:], p.Data)
	}
	at, others := 0, false
	wholeBatches(now, func(batch []byte) bool {
		const first = lengthEnd - 4 // a power cut may have zeroed the offset before it
		others = others || !bytes.Equal(batch[first:], restored[at+first:at+len(batch)])
		at += len(batch)
		return !others
	})
	whole := bytes.Equal(now, restored)
	switch {
	case others:
		log.Warn("embedded broker: a file has other records than its journal; it stays as it is", "file", path)
		return nil
	case lacks && (gap || !whole):
		return damaged("%s lacks records, and its journal cannot be read in the middle", path)
	case whole:
		return nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(restored[pieces[0].Offset:], pieces[0].Offset)
	return errors.Join(err, f.Close())
}

// readPiece reads what was appended to a file between two sizes. It is nil if the file was deleted.
func readPiece(dir, path string, from, to int64) (*piece, error) {
	rel, _ := filepath.Rel(dir, path) // it is in the folder
	f, err := os.Open(path)
	if err != nil {
		return nil, present(err)
	}
	defer f.Close()
	p := &piece{rel, from, make([]byte, to-from)}
	_, err = f.ReadAt(p.Data, from)
	return p, err
}
