// Package sqlite keeps the read model in one SQLite file, by a driver in pure Go: for one machine, without a server.
//
// Promises beyond the contract in package store:
//
//   - The file may be open in several processes at once, such as an API and a worker.
//   - What Put, Claim and Complete acknowledge survives a killed process and, unless [WithRelaxedSync] is given, a lost
//     power supply, as far as the disk keeps its own promise.
//   - Concurrent writes share transactions and so the wait for the disk; a lone write waits for nothing but itself.
//
// Caveats: SQLite's write-ahead log needs a local file system, never a network one. The files beside it, named like it
// with -wal and -shm behind, belong to it: copy a closed store, or by SQLite's own backup. A process must not open and
// close the file by other means while it is open here: that drops SQLite's locks (POSIX). Rows of a dropped generation
// make room for later ones, but the file does not shrink.
package sqlite

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// Store is a read model in one file.
type Store struct {
	owner string           // this handle, to the claims
	clock func() time.Time // for leases

	writer *writer
	reads  *reads
	sweeps *sweeps

	closing sync.Once
	closed  error
}

var _ store.Store = (*Store)(nil)

// Option changes how a store is opened.
type Option func(*options)

type options struct {
	clock   func() time.Time
	relaxed bool
}

// WithClock takes the time for leases from clock, which must be safe for concurrent use.
func WithClock(clock func() time.Time) Option { return func(o *options) { o.clock = clock } }

// WithRelaxedSync leaves it to the operating system when to write to the disk: what was acknowledged still survives a
// killed process, but the last of it may be gone after a power failure. The file stays sound either way.
func WithRelaxedSync() Option { return func(o *options) { o.relaxed = true } }

// Open opens the store at path and makes it if there is none, in a folder that must exist, readable by this user alone.
func Open(ctx context.Context, path string, opts ...Option) (*Store, error) {
	o := options{clock: time.Now}
	for _, opt := range opts {
		opt(&o)
	}
	file, err := prepare(ctx, path, o.relaxed)
	if err != nil {
		return nil, err
	}
	where, err := placeOf(path)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	w, err := startWriter(ctx, file, where)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	r, err := openReads(path)
	if err != nil {
		w.drain()
		return nil, errors.Join(err, w.close())
	}
	s := &Store{owner: uuid.NewString(), clock: o.clock, writer: w, reads: r}
	s.sweeps = startSweeps(s)
	s.sweeps.wake()
	return s, nil
}

// Ping reads the one row that every question needs, of a file that is where it was.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.writer.place.check(); err != nil {
		return err
	}
	_, _, err := s.Generations(ctx)
	return err
}

// Close commits what is queued, and closes the file.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.sweeps.stop()
		s.writer.drain()
		// The writer's connection is the last, because the last moves the log into the file, and readers may not.
		s.closed = errors.Join(s.reads.close(), s.writer.close())
	})
	return s.closed
}

func closedError() error { return events.Errorf(events.Unavailable, "the read model is closed") }

// ended is the error of a call whose context has ended.
func ended(err error) error {
	return events.Wrap(events.Unavailable, err, "the read model was not waited for any longer")
}
