package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
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
	sync bool  // to the disk, with everything written before
	err  error // of run
	done chan error
}

// writer runs jobs one after the other, as many as wait in one transaction, on the only connection that writes.
type writer struct {
	file        *file
	tx          tx
	syncs       bool // commits wait for the disk
	jobs        chan *job
	quit, ended chan struct{}
}

// do runs a write and returns when it is committed, or when its context ends: then its outcome is unknown, and run may
// still be called. With sync, it and everything committed before are on the disk then.
func (w *writer) do(ctx context.Context, sync bool, run func(*tx) error) error {
	j := &job{ctx: ctx, run: run, sync: sync, done: make(chan error, 1)}
	select {
	case w.jobs <- j:
	case <-ctx.Done():
		return w.file.fault(ctx, ctx.Err())
	case <-w.quit:
		return events.Errorf(events.Unavailable, "%s is closed", w.file.what)
	}
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		return w.file.fault(ctx, ctx.Err())
	}
}

func (w *writer) loop() {
	defer close(w.ended)
	for {
		select {
		case j := <-w.jobs:
			w.commit(w.gather([]*job{j}))
			runtime.Gosched() // so that the callers just answered can queue their next write and share the next transaction
		case <-w.quit:
			return
		}
	}
}

func (w *writer) gather(batch []*job) []*job {
	for len(batch) < maxBatch {
		select {
		case j := <-w.jobs:
			batch = append(batch, j)
		default:
			return batch
		}
	}
	return batch
}

// commit runs jobs in one transaction. If one of them fails for a reason other than its arguments, each runs in a transaction
// of its own: the others may not be concerned.
func (w *writer) commit(jobs []*job) {
	ofJob, err := w.transaction(jobs)
	if err != nil {
		_, _ = w.tx.conn.ExecContext(context.Background(), "ROLLBACK") // unless SQLite has done so itself
		if ofJob && len(jobs) > 1 {
			for i := range jobs {
				w.commit(jobs[i : i+1])
			}
			return
		}
		err = w.file.fault(context.Background(), err)
	}
	for _, j := range jobs {
		j.done <- cmp.Or(err, j.err)
	}
}

// transaction reports beside the error whether one of the jobs has failed, and not the file as a whole.
func (w *writer) transaction(jobs []*job) (ofJob bool, err error) {
	if err := w.file.inPlace(); err != nil {
		return false, err
	}
	if err := w.setSync(slices.ContainsFunc(jobs, func(j *job) bool { return j.sync })); err != nil {
		return false, err
	}
	// A batch belongs to no single caller.
	if err := w.file.whileLocked(context.Background(), func() error { return w.tx.exec("BEGIN IMMEDIATE") }); err != nil {
		return false, err
	}
	for _, j := range jobs {
		if j.err = w.file.fault(j.ctx, j.ctx.Err()); j.err != nil { // its caller has returned
			continue
		}
		if j.err = j.run(&w.tx); events.KindOf(j.err) == events.Unknown && j.err != nil {
			return true, j.err
		}
	}
	return false, w.tx.exec("COMMIT")
}

// setSync sets whether a commit waits for the disk. SQLite does it when it compiles the statement, so it is not prepared before.
func (w *writer) setSync(syncs bool) error {
	if syncs == w.syncs {
		return nil
	}
	mode := "normal"
	if syncs {
		mode = "full"
	}
	_, err := w.tx.conn.ExecContext(context.Background(), "PRAGMA synchronous = "+mode)
	if err == nil {
		w.syncs = syncs
	}
	return err
}

// whileLocked tries again while another process has the lock, for lockTimeout at most.
func (f *file) whileLocked(ctx context.Context, try func() error) error {
	start := time.Now()
	err := try()
	for locked(err) && ctx.Err() == nil && time.Since(start) < f.lockTimeout {
		time.Sleep(lockRetry/2 + rand.N(lockRetry)) //nolint:forbidigo // a backoff
		err = try()
	}
	return err
}

// tx is a transaction for writing. Its errors have a kind if the arguments of a job are at fault, and none if SQLite failed.
type tx struct {
	conn *sql.Conn
	statements
}

func (t *tx) exec(text string, args ...any) error {
	_, err := t.changed(text, args...)
	return err
}

// changed runs a statement and reports whether it has changed a row.
func (t *tx) changed(text string, args ...any) (bool, error) {
	statement, err := t.get(context.Background(), text) //nolint:sqlclosecheck // closed with the writer
	if err != nil {
		return false, err
	}
	result, err := statement.Exec(args...)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}

func (t *tx) close() error {
	var errs []error
	t.byText.Range(func(_, statement any) bool { // or the connection is not released
		errs = append(errs, statement.(*sql.Stmt).Close())
		return true
	})
	return errors.Join(append(errs, t.conn.Close())...)
}
