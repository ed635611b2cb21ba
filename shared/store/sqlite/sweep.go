package sqlite

import (
	"context"
	"database/sql"
	"sync"
)

// chunk is how many rows of a dropped generation are deleted in one transaction: some milliseconds of other writers'
// time.
const chunk = 200

// sweeps drops the rows of generations that are neither living nor being built: after each switch, and on opening,
// because a process may have ended between a switch and its sweep.
type sweeps struct {
	store   *Store
	ctx     context.Context
	cancel  context.CancelFunc
	woken   chan struct{}
	stopped sync.WaitGroup
}

func startSweeps(s *Store) *sweeps {
	sw := &sweeps{store: s, woken: make(chan struct{}, 1)}
	sw.ctx, sw.cancel = context.WithCancel(context.Background())
	sw.stopped.Go(func() {
		for {
			select {
			case <-sw.woken:
				_ = s.sweep(sw.ctx) // what is left is swept at the next switch or opening
			case <-sw.ctx.Done():
				return
			}
		}
	})
	return sw
}

func (sw *sweeps) wake() {
	select {
	case sw.woken <- struct{}{}:
	default:
	}
}

func (sw *sweeps) stop() {
	sw.cancel()
	sw.stopped.Wait()
}

// sweep deletes chunk by chunk until nothing of a dropped generation is left.
func (s *Store) sweep(ctx context.Context) error {
	for {
		generation, err := s.dropped(ctx)
		if err != nil || generation == 0 {
			return err
		}
		if err := s.writer.do(ctx, func(t *tx) error { return t.drop(generation) }); err != nil {
			return err
		}
	}
}

// dropped finds a generation that has rows and no right to them; 0 if there is none.
func (s *Store) dropped(ctx context.Context) (generation int, err error) {
	const text = `SELECT min(generation) FROM (
		SELECT min(generation) AS generation FROM items WHERE generation < at.living
		UNION ALL SELECT min(generation) FROM items WHERE generation > at.living AND generation < at.building
		UNION ALL SELECT min(generation) FROM items WHERE generation > max(at.living, at.building)
		UNION ALL SELECT min(generation) FROM demand WHERE generation < at.living
		UNION ALL SELECT min(generation) FROM demand WHERE generation > at.living AND generation < at.building
		UNION ALL SELECT min(generation) FROM demand WHERE generation > max(at.living, at.building))`
	var found sql.NullInt64
	err = s.reads.row(ctx, "SELECT ("+text+") FROM generations AS at WHERE one = 1", &found)
	return int(found.Int64), err
}

// drop deletes a chunk of a generation, unless it is in use.
func (t *tx) drop(generation int) error {
	at, err := t.pointer()
	if err != nil || generation == at.living || generation == at.building {
		return err
	}
	for _, stmt := range []*sql.Stmt{t.stmt.dropItems, t.stmt.dropDemand} {
		if _, err := stmt.Exec(generation, chunk); err != nil {
			return err
		}
	}
	return nil
}
