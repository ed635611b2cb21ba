package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"runtime"
	"sync/atomic"

	"github.com/sipeat/sipeat/shared/store"
)

// readers is a pool of connections that cannot write. Each query is one statement, and so sees one moment.
type readers struct {
	file   *file
	db     *sql.DB
	closed atomic.Bool
	stmt   statements
}

func openReaders(f *file) (*readers, error) {
	db, err := connect(f.path, "query_only(1)", "cache_size(-8192)")
	if err != nil {
		return nil, err
	}
	n := max(4, 2*runtime.GOMAXPROCS(0))
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return &readers{file: f, db: db, stmt: statements{db: db}}, nil
}

func (r *readers) close() error {
	r.closed.Store(true)
	return errors.Join(r.stmt.close(), r.db.Close())
}

// fault recognises a closed store by hand: database/sql does not export its error.
func (r *readers) fault(ctx context.Context, err error) error {
	if err != nil && ctx.Err() == nil && r.closed.Load() {
		return store.Closed(r.file.what)
	}
	return r.file.fault(ctx, err)
}

// each runs a query and calls scan for each row.
func (r *readers) each(ctx context.Context, text string, args []any, scan func(*sql.Rows) error) error {
	if err := ctx.Err(); err != nil {
		return r.fault(ctx, err)
	}
	stmt, err := r.stmt.get(ctx, text) //nolint:sqlclosecheck // kept, and closed with the pool
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
