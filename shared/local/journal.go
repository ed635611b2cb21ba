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

// misses reports whether a file with bytes that are only synced here was deleted: they do not belong to a new file of that name.
func (j *journal) misses() bool {
	for path := range j.pending {
		if _, err := os.Stat(filepath.Join(j.dir, path)); err != nil {
			return true
		}
	}
	return false
}

// restoreJournal writes what a power cut may have taken from the files. They are to be synced before the journal is opened.
func restoreJournal(dir string) error {
	f, err := os.Open(journalFile(dir))
	if err != nil {
		return present(err)
	}
	defer f.Close()
	for in, generation := bufio.NewReader(f), uint64(0); ; {
		header := make([]byte, journalHeader)
		if _, err := io.ReadFull(in, header); err != nil {
			return torn(err)
		}
		size, of := binary.LittleEndian.Uint32(header[4:]), binary.LittleEndian.Uint64(header[8:])
		body := bytes.NewBuffer(nil)
		if _, err := io.CopyN(body, in, int64(size)); err != nil {
			return torn(err)
		}
		sum := crc32.Update(crc32.Checksum(header[4:], castagnoli), castagnoli, body.Bytes())
		if generation == 0 {
			generation = of
		}
		if sum != binary.LittleEndian.Uint32(header) || of != generation {
			return nil // a frame that was not acknowledged, or one of an earlier generation
		}
		var pieces []piece
		if err := gob.NewDecoder(body).Decode(&pieces); err != nil {
			return damaged("%s: %v", f.Name(), err)
		}
		for _, p := range pieces {
			if err := p.restore(dir); err != nil {
				return err
			}
		}
	}
}

func torn(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// restore writes a piece, unless its file was deleted, or deleted and made again, and that was not acknowledged.
func (p *piece) restore(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, p.Path), os.O_RDWR, 0)
	if err != nil {
		return present(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() < p.Offset {
		return err
	}
	_, err = f.WriteAt(p.Data, p.Offset)
	return err
}

// readPiece reads what was appended to a file between two sizes. It is nil if the file was deleted.
func readPiece(dir, path string, from, to int64) (*piece, error) {
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, present(err)
	}
	defer f.Close()
	p := &piece{rel, from, make([]byte, to-from)}
	_, err = f.ReadAt(p.Data, from)
	return p, err
}
