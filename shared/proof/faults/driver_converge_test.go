package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// converge waits until everything is handled and owned. It ends with an error when no commit has gone forward for [idleTime], or
// after [quietTime].
func (r *rig) converge(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(idleTime, func() { cancel(fmt.Errorf("no group has committed more for %v", idleTime)) })
	defer idle.Stop()
	most := int64(0)
	return until(ctx, quietTime, func(ctx context.Context) error {
		committed, err := r.converged(ctx)
		if committed > most {
			most = committed
			idle.Reset(idleTime)
		}
		return err
	})
}

// converged returns an error until every group has committed to the end of its topic and owns all partitions. committed is the
// sum of the committed offsets.
func (r *rig) converged(ctx context.Context) (committed int64, all error) {
	lags, err := kadm.NewClient(r.client).Lag(ctx, slices.Collect(maps.Values(consumerOf))...)
	if err != nil {
		return 0, err
	}
	for _, l := range lags.Sorted() {
		if err := l.Error(); err != nil {
			return 0, err
		}
		for _, p := range l.Lag.Sorted() {
			committed += max(p.Commit.At, 0)
		}
		if l.State != "Stable" || l.Lag.Total() != 0 {
			all = errors.Join(all, fmt.Errorf("%s is %s, with a lag of %d", l.Group, l.State, l.Lag.Total()))
		}
	}
	for _, p := range r.parts() {
		if err := p.ready(ctx); err != nil {
			all = errors.Join(all, fmt.Errorf("%s: %w", p.name, err))
		}
	}
	return committed, all
}
