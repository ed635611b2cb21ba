package sqlite

import (
	"context"
	"database/sql"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/sipeat/sipeat/shared/events"
)

// reads is a pool of connections that cannot write. Each question is one statement, and so sees one moment.
type reads struct {
	db     *sql.DB
	closed atomic.Bool

	mu   sync.Mutex
	stmt map[string]*sql.Stmt
}

func openReads(path string) (*reads, error) {
	db, err := connect(path, "query_only(1)", "cache_size(-8192)")
	if err != nil {
		return nil, err
	}
	n := max(4, 2*runtime.GOMAXPROCS(0))
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return &reads{db: db, stmt: make(map[string]*sql.Stmt)}, nil
}

func (r *reads) close() error {
	r.closed.Store(true)
	return r.db.Close()
}

// fault is told from that of a closed store by hand: database/sql does not export its error.
func (r *reads) fault(ctx context.Context, err error) error {
	if err != nil && ctx.Err() == nil && r.closed.Load() {
		return closedError()
	}
	return fault(ctx, err)
}

// prepared waits for a connection outside of the lock: others have a statement already, or less time.
func (r *reads) prepared(ctx context.Context, text string) (*sql.Stmt, error) {
	r.mu.Lock()
	stmt := r.stmt[text]
	r.mu.Unlock()
	if stmt != nil {
		return stmt, nil
	}
	stmt, err := r.db.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if first := r.stmt[text]; first != nil { // somebody was faster
		return first, stmt.Close() //nolint:sqlclosecheck // the other is kept, and closed with the pool
	}
	r.stmt[text] = stmt
	return stmt, nil
}

// each runs a question and calls scan for each row.
func (r *reads) each(ctx context.Context, text string, args []any, scan func(*sql.Rows) error) error {
	if err := ctx.Err(); err != nil {
		return ended(err)
	}
	stmt, err := r.prepared(ctx, text) //nolint:sqlclosecheck // kept, and closed with the pool
	if err != nil {
		return r.fault(ctx, err)
	}
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return r.fault(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return r.fault(ctx, err)
		}
	}
	return r.fault(ctx, rows.Err())
}

// row runs a question without arguments that has one row as its answer; no row is NotFound.
func (r *reads) row(ctx context.Context, text string, into ...any) error {
	found := false
	err := r.each(ctx, text, nil, func(rows *sql.Rows) error {
		found = true
		return rows.Scan(into...)
	})
	if err == nil && !found {
		err = events.Errorf(events.NotFound, "there is no such row")
	}
	return err
}
