package kafka

import (
	"context"
	"log/slog"
	"strings"
	"time"
)

// repeatAfter is how soon the same warning or error is shown again.
const repeatAfter = time.Minute

// quiet is the log of a cluster's clients: the same warning or error is shown once in a while, and none during an outage,
// which [outage] logs. What is not shown is logged at level debug, as are the client's info lines: each step of joining a
// group is one.
type quiet struct {
	slog.Handler
	outage *outage
	client bool // these lines are the client's
}

func (o *outage) log(client bool) *slog.Logger {
	return slog.New(quiet{o.logger.Handler(), o, client})
}

func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	if q.client && level == slog.LevelInfo {
		level = slog.LevelDebug
	}
	return q.Handler.Enabled(ctx, level)
}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	if q.client && r.Level == slog.LevelInfo || r.Level >= slog.LevelWarn && !q.outage.show(key(r), r.Time) {
		r.Level = slog.LevelDebug
	}
	if !q.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return q.Handler.Handle(ctx, r)
}

func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	q.Handler = q.Handler.WithAttrs(attrs)
	return q
}

func (q quiet) WithGroup(name string) slog.Handler {
	q.Handler = q.Handler.WithGroup(name)
	return q
}

// key is what makes a record the same as another. The reason is not part of it, for it may hold the port of each connection.
func key(r slog.Record) string {
	var text strings.Builder
	text.WriteString(r.Level.String() + " " + r.Message)
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "addr", "broker", "group", "topic", "partition", "from":
			text.WriteString(" " + a.Key + "=" + a.Value.String())
		}
		return true
	})
	return text.String()
}
