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
)

// Several processes take turns at writing. SQLite has no queue for them, and its own busy handler finally tries every 100 ms,
// which seldom meets the moment between two transactions of a busy process. Here a waiting process tries more often.
const (
	lockRetry   = 250 * time.Microsecond
	lockTimeout = 10 * time.Second // then the lock counts as an outage; a transaction takes milliseconds
)

// maxBatch is how many writes share a transaction at most: more of them would not save more of the wait for the disk, and make
// other processes wait longer.
const maxBatch = 1024

// A job is a write in the queue.
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
	tx   tx

	mu      sync.Mutex
	queue   []*job
	running bool // loop runs
	closed  bool
	loops   sync.WaitGroup
}

func newWriter(ctx context.Context, db *sql.DB, f *file) (*writer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &writer{file: f, db: db, conn: conn, tx: tx{conn: conn, stmt: map[string]*sql.Stmt{}}}, nil
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
		return events.Errorf(events.Unavailable, "%s is closed", w.file.what)
	}
	w.queue = append(w.queue, j)
	if !w.running {
		w.running = true
		w.loops.Go(w.loop)
	}
	w.mu.Unlock()
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		return w.file.fault(ctx, ctx.Err())
	}
}

// drain runs what is queued and refuses later writes; false if another call did.
func (w *writer) drain() bool {
	w.mu.Lock()
	first := !w.closed
	w.closed = true
	w.mu.Unlock()
	w.loops.Wait()
	return first
}

func (w *writer) close() error {
	var errs []error
	for _, stmt := range w.tx.stmt { // or the connection is not released
		errs = append(errs, stmt.Close())
	}
	return w.file.fault(context.Background(), errors.Join(append(errs, w.conn.Close(), w.db.Close())...))
}

// loop commits the queue until it is empty.
func (w *writer) loop() {
	for jobs := w.take(); len(jobs) > 0; jobs = w.take() {
		for i, err := range w.commit(jobs) {
			jobs[i].done <- err
		}
		runtime.Gosched() // so that the callers just answered can queue their next write and share the next transaction
	}
}

// take takes a batch from the queue; none ends the loop.
func (w *writer) take() []*job {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(len(w.queue), maxBatch)
	jobs := w.queue[:n:n]
	w.queue, w.running = w.queue[n:], n > 0
	return jobs
}

// commit runs jobs in one transaction and returns their errors. If one of them fails for a reason other than its arguments, each
// runs in a transaction of its own: the others may not be concerned.
func (w *writer) commit(jobs []*job) []error {
	errs := make([]error, len(jobs))
	ran, err := w.transaction(jobs, errs)
	if err != nil {
		_, _ = w.conn.ExecContext(context.Background(), "ROLLBACK") // unless SQLite has done so itself
		if ran && len(jobs) > 1 {
			for i := range jobs {
				errs[i] = w.commit(jobs[i : i+1])[0]
			}
			return errs
		}
		err = w.file.fault(context.Background(), err)
		for i := range errs {
			errs[i] = err
		}
	}
	return errs
}

// transaction reports beside the error whether one of the jobs has failed, and not the file as a whole.
func (w *writer) transaction(jobs []*job, errs []error) (ofJob bool, err error) {
	if err := w.file.inPlace(); err != nil {
		return false, err
	}
	// A batch belongs to no single caller.
	if err := whileLocked(context.Background(), func() error { return w.tx.exec("BEGIN IMMEDIATE") }); err != nil {
		return false, err
	}
	for i, j := range jobs {
		if err := j.ctx.Err(); err != nil { // its caller has returned
			errs[i] = w.file.fault(j.ctx, err)
		} else if errs[i] = j.run(&w.tx); errs[i] != nil && events.KindOf(errs[i]) == events.Unknown {
			return true, errs[i]
		}
	}
	return false, w.tx.exec("COMMIT")
}

// whileLocked tries again for as long as another process has the lock.
func whileLocked(ctx context.Context, try func() error) error {
	start := time.Now()
	err := try()
	for locked(err) && ctx.Err() == nil && time.Since(start) < lockTimeout {
		time.Sleep(lockRetry/2 + rand.N(lockRetry)) //nolint:forbidigo // a backoff
		err = try()
	}
	return err
}

// tx is a transaction for writing. Its errors have a kind if the arguments of a job are at fault, and none if SQLite failed.
type tx struct {
	conn *sql.Conn
	stmt map[string]*sql.Stmt // by their texts
}

func (t *tx) prepared(text string) (*sql.Stmt, error) {
	if stmt := t.stmt[text]; stmt != nil {
		return stmt, nil
	}
	stmt, err := t.conn.PrepareContext(context.Background(), text)
	if err == nil {
		t.stmt[text] = stmt
	}
	return stmt, err
}

func (t *tx) exec(text string, args ...any) error {
	_, err := t.changed(text, args...)
	return err
}

// changed runs a statement and reports whether it has changed a row.
func (t *tx) changed(text string, args ...any) (bool, error) {
	stmt, err := t.prepared(text) //nolint:sqlclosecheck // closed with the writer
	if err != nil {
		return false, err
	}
	result, err := stmt.Exec(args...)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
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
