package kafka

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func (w *worker) commitRegularly(ctx context.Context) {
	ticker := time.NewTicker(w.options.CommitInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			w.commit(ctx, w.client)
		}
	}
}

// commit commits the offsets behind what is handled. What fails is committed the next time, or its events come again.
func (w *worker) commit(ctx context.Context, client *kgo.Client) {
	ctx, cancel := context.WithTimeout(ctx, w.options.CloseTimeout)
	defer cancel()
	select {
	case w.committing <- struct{}{}:
		defer func() { <-w.committing }()
	case <-ctx.Done():
		return
	}
	offsets := map[int32]kgo.EpochOffset{}
	w.mu.Lock()
	for n, p := range w.partitions {
		if handled, ok := p.Handled(); ok && handled > p.committed {
			offsets[n] = kgo.EpochOffset{Epoch: -1, Offset: handled}
		}
	}
	w.mu.Unlock()
	if len(offsets) == 0 {
		return
	}
	client.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{w.consumer.Topic: offsets},
		func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, response *kmsg.OffsetCommitResponse, err error) {
			w.committed(offsets, response, err)
		})
}

func (w *worker) committed(offsets map[int32]kgo.EpochOffset, response *kmsg.OffsetCommitResponse, err error) {
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			w.options.Logger.Warn("offsets could not be committed; events may come again", "group", w.consumer.Group, "error", err)
		}
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, topic := range response.Topics {
		for _, answer := range topic.Partitions {
			if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
				w.options.Logger.Warn("an offset could not be committed; events may come again",
					"group", w.consumer.Group, "partition", answer.Partition, "error", err)
			} else if p := w.partitions[answer.Partition]; p != nil {
				p.committed = offsets[answer.Partition].Offset
			}
		}
	}
}
