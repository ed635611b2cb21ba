package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// statements are prepared once each, by their text.
type statements struct {
	db interface {
		PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
	}
	mu   sync.Mutex
	kept map[string]*sql.Stmt
}

// get prepares outside of the lock: others have a statement already, or less time to wait for a connection.
func (s *statements) get(ctx context.Context, text string) (*sql.Stmt, error) {
	s.mu.Lock()
	stmt := s.kept[text]
	s.mu.Unlock()
	if stmt != nil {
		return stmt, nil
	}
	stmt, err := s.db.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if first := s.kept[text]; first != nil { // another goroutine was faster
		return first, stmt.Close() //nolint:sqlclosecheck // the other is kept
	}
	if s.kept == nil {
		s.kept = map[string]*sql.Stmt{}
	}
	s.kept[text] = stmt
	return stmt, nil
}

// close releases the connection: database/sql does not when the statements belong to one connection.
func (s *statements) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, stmt := range s.kept {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(errs...)
}
