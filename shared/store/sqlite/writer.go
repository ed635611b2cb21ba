package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/sipeat/sipeat/shared/events"
)

// batch is how many writes share a transaction at most: beyond it the wait for the disk is spread thin enough, and
// other processes wait for the end of it.
const batch = 1024

// lull is how long nobody has queued a write when gather stops: a fraction of what a commit takes.
const lull = 50 * time.Microsecond

// A job is a write that waits for its turn. It may be run more than once, each time in a new transaction.
type job struct {
	ctx  context.Context
	run  func(*tx) error
	done chan error
}

// writer runs jobs one after the other, as many as are queued in one transaction, on the only connection that writes.
type writer struct {
	place
	file *sql.DB
	conn *sql.Conn
	stmt statements

	mu      sync.Mutex
	queue   []*job
	closed  bool
	wake    chan struct{} // holds one token while the queue may hold jobs
	stopped chan struct{}

	spare []*job // the last queue, to be filled again
}

func startWriter(ctx context.Context, file *sql.DB, where place) (*writer, error) {
	conn, err := file.Conn(ctx)
	if err != nil {
		return nil, fault(ctx, err)
	}
	w := &writer{place: where, file: file, conn: conn, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
	err = w.stmt.prepare(ctx, conn)
	if err == nil {
		_, err = conn.ExecContext(ctx, "PRAGMA busy_timeout = 0") // from here on begin does the waiting
	}
	if err != nil {
		return nil, errors.Join(fault(ctx, err), w.close())
	}
	go w.loop()
	return w, nil
}

// do runs a write and returns when it is committed, or its context ends: then its fate is not known.
func (w *writer) do(ctx context.Context, run func(*tx) error) error {
	if err := ctx.Err(); err != nil {
		return ended(err)
	}
	j := &job{ctx: ctx, run: run, done: make(chan error, 1)}
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return closedError()
	}
	w.queue = append(w.queue, j)
	w.mu.Unlock()
	w.signal()
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		return ended(ctx.Err())
	}
}

func (w *writer) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// drain runs what is queued and refuses what comes later.
func (w *writer) drain() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.signal()
	<-w.stopped
}

func (w *writer) close() error {
	return fault(context.Background(), errors.Join(w.stmt.close(), w.conn.Close(), w.file.Close()))
}

func (w *writer) loop() {
	defer close(w.stopped)
	answered := 0
	for {
		jobs := w.take(answered)
		if jobs == nil {
			return
		}
		answered = len(jobs)
		for rest := jobs; len(rest) > 0; {
			n := min(len(rest), batch)
			w.commit(rest[:n])
			rest = rest[n:]
		}
		clear(jobs)
		w.spare = jobs[:0]
	}
}

// take waits for jobs, after so many were answered at once; nil when the writer is closed and nothing is left.
func (w *writer) take(answered int) []*job {
	if answered > 1 {
		w.gather(answered)
	}
	for {
		w.mu.Lock()
		if len(w.queue) > 0 {
			jobs := w.queue
			w.queue = w.spare
			w.mu.Unlock()
			return jobs
		}
		closed := w.closed
		w.mu.Unlock()
		if closed {
			return nil
		}
		<-w.wake
	}
}

// gather lets those who were just answered queue their next write, for as long as they do: else the first few of them
// would have a transaction of their own, and the others wait for it.
func (w *writer) gather(answered int) {
	before, last := 0, time.Now()
	for {
		runtime.Gosched()
		w.mu.Lock()
		now := len(w.queue)
		w.mu.Unlock()
		switch {
		case now >= answered:
			return
		case now > before:
			before, last = now, time.Now()
		case time.Since(last) > lull:
			return
		}
	}
}

// commit runs jobs in one transaction and answers them. If one of them fails for a reason that is not its own doing, the
// transaction is undone and each job gets its own, so that none suffers from another.
func (w *writer) commit(jobs []*job) {
	results := make([]error, len(jobs))
	err := w.transaction(jobs, results)
	var broken *brokenJob
	if errors.As(err, &broken) && len(jobs) > 1 {
		for i := range jobs {
			w.commit(jobs[i : i+1])
		}
		return
	}
	err = fault(context.Background(), err)
	for i, j := range jobs {
		if err != nil {
			j.done <- err
		} else {
			j.done <- results[i]
		}
	}
}

// brokenJob is a failure of a statement within a transaction.
type brokenJob struct{ error }

func (b *brokenJob) Unwrap() error { return b.error }

func (w *writer) transaction(jobs []*job, results []error) error {
	if err := w.check(); err != nil {
		return err
	}
	ctx := context.Background() // a batch is not anybody's own
	if err := begin(ctx, w.conn, patience); err != nil {
		w.rollback()
		return err
	}
	t := tx{stmt: &w.stmt}
	for i, j := range jobs {
		if err := j.ctx.Err(); err != nil { // nobody waits for it any longer
			results[i] = ended(err)
			continue
		}
		err := j.run(&t)
		if err != nil && events.KindOf(err) == events.Unknown {
			w.rollback()
			return &brokenJob{err}
		}
		results[i] = err
	}
	if err := t.count(); err != nil {
		w.rollback()
		return &brokenJob{err}
	}
	if _, err := w.stmt.commit.Exec(); err != nil {
		w.rollback()
		return err
	}
	return nil
}

// rollback undoes the transaction, unless SQLite has done so itself.
func (w *writer) rollback() { _, _ = w.conn.ExecContext(context.Background(), "ROLLBACK") }
