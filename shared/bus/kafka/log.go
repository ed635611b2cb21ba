package kafka

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// quiet takes a level off what the client says at info: it tells each step of joining a group.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	return q.Handler.Enabled(ctx, quieter(level))
}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	r.Level = quieter(r.Level)
	return q.Handler.Handle(ctx, r)
}

func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(attrs)} }

func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }

func quieter(level slog.Level) slog.Level {
	if level == slog.LevelInfo {
		return slog.LevelDebug
	}
	return level
}

// sayAgain is how often the same warning or error is shown. While brokers are away each client of a process says several a
// second.
const sayAgain = 5 * time.Second

// limited shows the same warning or error once in sayAgain, whichever of our clients says it, and then how often it was
// held back. What is held back is logged at level debug.
func limited(logger *slog.Logger) *slog.Logger {
	return slog.New(limit{Handler: logger.Handler(), logger: logger})
}

type limit struct {
	slog.Handler
	logger *slog.Logger
}

func (l limit) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		return l.Handler.Handle(ctx, r)
	}
	held, again := said.again(saying{l.logger, textOf(r)}, r.Time)
	switch {
	case again && !l.Enabled(ctx, slog.LevelDebug):
		return nil
	case again:
		r.Level = slog.LevelDebug
	case held > 0:
		r = r.Clone()
		r.AddAttrs(slog.Int("repeated", held))
	}
	return l.Handler.Handle(ctx, r)
}

func (l limit) WithAttrs(attrs []slog.Attr) slog.Handler {
	return limit{l.Handler.WithAttrs(attrs), l.logger}
}

func (l limit) WithGroup(name string) slog.Handler {
	return limit{l.Handler.WithGroup(name), l.logger}
}

// textOf is what makes a record the same as another: what it says, and of whom. The reason is not part of it, for it may hold the
// port of each connection.
func textOf(r slog.Record) string {
	var text strings.Builder
	text.WriteString(r.Level.String() + " " + r.Message)
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "addr", "broker", "group", "topic", "partition":
			text.WriteString(" " + a.Key + "=" + a.Value.String())
		}
		return true
	})
	return text.String()
}

// said is shared by the clients of a process, which all say the same when a broker is away.
var said = repeats{times: map[saying]*times{}}

type repeats struct {
	mu    sync.Mutex
	times map[saying]*times
}

type saying struct {
	to   *slog.Logger
	text string
}

type times struct {
	shown time.Time
	held  int // back, since then
}

// again reports whether that was shown lately; if not, how often it was held back since it was.
func (p *repeats) again(s saying, now time.Time) (held int, again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.times[s]
	switch {
	case t == nil:
		for old, t := range p.times {
			if now.Sub(t.shown) > 10*sayAgain {
				delete(p.times, old)
			}
		}
		p.times[s] = &times{shown: now}
		return 0, false
	case now.Sub(t.shown) < sayAgain:
		t.held++
		return 0, true
	}
	held = t.held
	*t = times{shown: now}
	return held, false
}
