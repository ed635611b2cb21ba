package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"time"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/store"
)

// Several processes take turns at writing. SQLite has no queue for them: a waiting process tries again and again, and
// SQLite's own busy handler finally tries every 100 ms, which seldom meets the moment between two transactions of a busy
// process. Here a waiting process tries several times a millisecond: beside a handle that writes without a pause, a lone
// write took 150 ms at worst, and 700 ms with a try every 50 ms.
const (
	lockRetry   = 250 * time.Microsecond
	lockTimeout = 20 * time.Second // then the lock counts as an outage; a transaction takes milliseconds
	// openTimeout is less than the 10 s that SQLite itself waits when a file is opened: so where another process keeps the
	// lock it is tried once, and a start fails within 15 s.
	openTimeout = 9 * time.Second
)

// maxBatch is how many writes share a transaction at most: more of them would not save more of the wait for the disk, and make
// other processes wait longer.
const maxBatch = 1024

// idleGap is after how long without a new write gather stops: a fraction of what a commit takes.
const idleGap = 50 * time.Microsecond

// A job is a write in the queue. It may be run more than once, each time in a new transaction.
type job struct {
	ctx  context.Context
	run  func(*tx) error
	done chan error
}

// writer runs jobs one after the other, as many as are queued in one transaction, on the only connection that writes.
type writer struct {
	file *file
	db   *sql.DB
	conn *sql.Conn
	stmt map[string]*sql.Stmt // by their texts

	mu      sync.Mutex
	queue   []*job
	closed  bool
	wake    chan struct{} // holds one token while the queue may hold jobs
	stopped chan struct{}
}

func startWriter(ctx context.Context, db *sql.DB, f *file) (*writer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.ExecContext(ctx, "PRAGMA busy_timeout = 0"); err != nil { // begin does the waiting
		return nil, errors.Join(err, conn.Close())
	}
	w := &writer{file: f, db: db, conn: conn, stmt: map[string]*sql.Stmt{}, wake: make(chan struct{}, 1),
		stopped: make(chan struct{})}
	go w.loop()
	return w, nil
}

// do runs a write and returns when it is committed, or when its context ends: then its outcome is unknown, and run may
// still be called.
func (w *writer) do(ctx context.Context, run func(*tx) error) error {
	if err := ctx.Err(); err != nil {
		return w.file.fault(ctx, err)
	}
	j := &job{ctx: ctx, run: run, done: make(chan error, 1)}
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return store.Closed(w.file.what)
	}
	w.queue = append(w.queue, j)
	w.mu.Unlock()
	w.signal()
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		return w.file.fault(ctx, ctx.Err())
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

func (w *writer) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

func (w *writer) close() error {
	var errs []error
	for _, stmt := range w.stmt { // or the connection is not released
		errs = append(errs, stmt.Close())
	}
	return w.file.fault(context.Background(), errors.Join(append(errs, w.conn.Close(), w.db.Close())...))
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
			n := min(len(rest), maxBatch)
			w.commit(rest[:n])
			rest = rest[n:]
		}
	}
}

// take waits for jobs, after so many were answered at the same time; nil when the writer is closed and nothing is left.
func (w *writer) take(answered int) []*job {
	if answered > 1 {
		w.gather(answered)
	}
	for {
		w.mu.Lock()
		jobs, closed := w.queue, w.closed
		w.queue = nil
		w.mu.Unlock()
		if len(jobs) > 0 || closed {
			return jobs
		}
		<-w.wake
	}
}

// gather lets the callers that were just answered queue their next write, for as long as they do: otherwise the first few of them
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
		case time.Since(last) > idleGap:
			return
		}
	}
}

// commit runs jobs in one transaction and answers them. If one of them fails for a reason other than its arguments, the
// transaction is undone and each job gets its own, so that none suffers from another.
func (w *writer) commit(jobs []*job) {
	results := make([]error, len(jobs))
	err := w.transaction(jobs, results)
	var statement *statementError
	if errors.As(err, &statement) && len(jobs) > 1 {
		for i := range jobs {
			w.commit(jobs[i : i+1])
		}
		return
	}
	err = w.file.fault(context.Background(), err)
	for i, j := range jobs {
		if err != nil {
			j.done <- err
		} else {
			j.done <- results[i]
		}
	}
}

// statementError is a failure of a statement within a transaction.
type statementError struct{ error }

func (s *statementError) Unwrap() error { return s.error }

func (w *writer) transaction(jobs []*job, results []error) error {
	if err := w.file.inPlace(); err != nil {
		return err
	}
	ctx := context.Background() // a batch belongs to no single caller
	if err := begin(ctx, w.conn, lockTimeout); err != nil {
		w.rollback()
		return err
	}
	t := tx{writer: w}
	for i, j := range jobs {
		if err := j.ctx.Err(); err != nil { // its caller has returned
			results[i] = w.file.fault(j.ctx, err)
			continue
		}
		err := j.run(&t)
		if err != nil && events.KindOf(err) == events.Unknown {
			w.rollback()
			return &statementError{err}
		}
		results[i] = err
	}
	if err := t.count(); err != nil {
		w.rollback()
		return &statementError{err}
	}
	if _, err := t.exec("COMMIT"); err != nil {
		w.rollback()
		return err
	}
	return nil
}

// rollback undoes the transaction, unless SQLite has done so itself.
func (w *writer) rollback() { _, _ = w.conn.ExecContext(context.Background(), "ROLLBACK") }

// begin starts a transaction for writing, as soon as no other process is in one.
func begin(ctx context.Context, conn *sql.Conn, timeout time.Duration) error {
	return whileLocked(ctx, timeout, func() error { _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); return err })
}

// whileLocked tries again for as long as another process has the lock.
func whileLocked(ctx context.Context, timeout time.Duration, try func() error) error {
	for start := time.Now(); ; {
		err := try()
		if err == nil || !locked(err) || time.Since(start) > timeout {
			return err
		}
		wait := time.NewTimer(lockRetry/2 + rand.N(lockRetry))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		}
	}
}

// tx is a transaction for writing. Its errors have a kind if the arguments of a job are at fault, and none if SQLite failed.
type tx struct {
	writer  *writer
	demand  []store.DemandEntry // counted before the commit: many items of a batch ask for the same
	indices map[store.DemandKey]int
}

func (t *tx) prepared(text string) (*sql.Stmt, error) {
	if stmt := t.writer.stmt[text]; stmt != nil {
		return stmt, nil
	}
	stmt, err := t.writer.conn.PrepareContext(context.Background(), text)
	if err == nil {
		t.writer.stmt[text] = stmt
	}
	return stmt, err
}

func (t *tx) exec(text string, args ...any) (sql.Result, error) {
	stmt, err := t.prepared(text) //nolint:sqlclosecheck // closed with the writer
	if err != nil {
		return nil, err
	}
	return stmt.Exec(args...)
}

// each runs a query and calls scan for each row.
func (t *tx) each(text string, args []any, scan func(*sql.Rows) error) error {
	stmt, err := t.prepared(text) //nolint:sqlclosecheck // closed with the writer
	if err != nil {
		return err
	}
	rows, err := stmt.Query(args...)
	if err != nil {
		return err
	}
	return scanAll(rows, scan)
}
