package trigger

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sipeat/sipeat/shared/bus"
)

// share is the part of a batch that is of one partition.
type share struct {
	*bus.Partition                // nil = there was no time at all
	records        []bus.Record   // the engine's, once they are delivered
	positions      []bus.Position // of the records
}

// shares splits records by partition, in the order of their offsets.
func shares(records []bus.Record) (all []share) {
	byOffset := func(a, b bus.Record) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	}
	if !slices.IsSortedFunc(records, byOffset) {
		slices.SortStableFunc(records, byOffset)
	}
	positions := make([]bus.Position, len(records))
	for i := range records {
		positions[i] = bus.Position{Topic: records[i].Topic, Partition: records[i].Partition, Offset: records[i].Offset}
	}
	for start, end := 0, 0; start < len(records); start = end {
		for end < len(records) && records[end].Partition == records[start].Partition {
			end++
		}
		all = append(all, share{records: records[start:end], positions: positions[start:end]})
	}
	return all
}

// deliver hands the shares to the engine and waits until they are handled or the time is over.
func (h *Handler) deliver(ctx context.Context, all []share) {
	last, end := h.times(ctx)
	if ctx.Err() != nil || !time.Now().Before(last) {
		return
	}
	waiting, stop := context.WithDeadline(ctx, last)
	defer stop()
	defer context.AfterFunc(h.whole, stop)()
	for i := range all {
		s := &all[i]
		s.Partition = h.engine.OpenUntil(ctx, s.positions[0].Partition, end)
		s.Deliver(s.records)
	}
	var over sync.WaitGroup
	for i := range all {
		over.Go(func() {
			_ = all[i].Wait(waiting) // what it says, Handled says too
			if h.refusal() == nil {
				h.close(ctx, &all[i], end)
			}
		})
	}
	over.Wait()
}

// advance calls Options.Advance with what was handled.
func (h *Handler) advance(ctx context.Context, all []share) error {
	from, to := map[int32]int64{}, map[int32]int64{}
	for _, s := range all {
		if s.Partition == nil {
			continue
		}
		first := s.positions[0]
		if handled, _, ok := s.Handled(); ok && handled > first.Offset {
			from[first.Partition], to[first.Partition] = first.Offset, handled
		}
	}
	if h.options.Advance == nil || len(to) == 0 {
		return nil
	}
	return h.options.Advance(ctx, h.topic, from, to)
}

// givenBack is what is given back of a batch, once it was delivered.
func (h *Handler) givenBack(all []share) *GivenBackError {
	e := &GivenBackError{}
	for _, s := range all {
		e.Records += len(s.positions)
		handled := int64(0)
		if s.Partition != nil {
			handled, _, _ = s.Handled()
		}
		first := slices.IndexFunc(s.positions, func(p bus.Position) bool { return p.Offset >= handled })
		if first < 0 {
			continue
		}
		rest := s.positions[first:]
		e.parts = append(e.parts, part{rest[0], len(rest), h.reasons.forget(rest...)})
		e.Response.givenBack = append(e.Response.givenBack, rest...)
	}
	return e
}

func (h *Handler) close(ctx context.Context, s *share, end time.Time) {
	if ctx.Err() != nil { // somebody wants the invocation to end now
		end = time.Now().Add(min(h.options.Finish, time.Until(end)))
	}
	closing, cancel := context.WithDeadline(context.Background(), end)
	defer cancel()
	if err := s.Close(closing); err != nil {
		h.options.Logger.WarnContext(ctx, "work in hand was not finished; it will be done again", "topic", h.topic, "error", err)
	}
}

// times are when the last handler is begun, and when all must end.
func (h *Handler) times(ctx context.Context) (last, end time.Time) {
	now := time.Now()
	left := h.options.Timeout
	if deadline, ok := ctx.Deadline(); ok {
		left = deadline.Sub(now)
	}
	left -= min(h.options.Margin+h.options.Delivery.Grace, left/2)
	end = now.Add(left)
	return end.Add(-min(h.options.Finish, left/10)), end
}
