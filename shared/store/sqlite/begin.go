package sqlite

import (
	"context"
	"database/sql"
	"math/rand/v2"
	"time"
)

// Several processes take turns at writing. SQLite has no queue for them: whoever waits asks again and again, and its own
// busy handler asks every 100 ms at last, which seldom meets the moment between two transactions of a busy process. Here
// a waiting process asks several times a millisecond: beside a handle that writes without a pause, a lone write took
// 150 ms at worst, and 700 ms when it asked every 50.
const (
	askEvery = 250 * time.Microsecond
	patience = 20 * time.Second // then the lock counts as an outage; a transaction takes milliseconds
	// openPatience is less than the 10 s that SQLite itself waits when a file is opened: so where somebody keeps the lock it is
	// asked once, and a start says so within 15 s.
	openPatience = 9 * time.Second
)

// begin starts a transaction for writing, as soon as no other process is in one.
func begin(ctx context.Context, conn *sql.Conn, patience time.Duration) error {
	return patiently(ctx, patience, func() error { _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); return err })
}

// patiently tries for as long as another process has the lock.
func patiently(ctx context.Context, patience time.Duration, try func() error) error {
	for start := time.Now(); ; {
		err := try()
		if err == nil || !busy(err) || time.Since(start) > patience {
			return err
		}
		wait := time.NewTimer(askEvery/2 + rand.N(askEvery))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		}
	}
}
