package kafka

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	repeatAfter  = time.Minute     // how soon the same warning or error is shown again
	outageAfter  = 2 * time.Second // one broker of several may be away; others then answer
	outageRepeat = 5 * time.Minute
)

// outage logs that no broker of a cluster answers, and when one does again. It is a hook of all clients of the cluster.
type outage struct {
	brokers string
	logger  *slog.Logger

	mu     sync.Mutex
	since  time.Time // zero = the last exchange with a broker succeeded
	cause  error
	timer  *time.Timer
	logged bool
	shown  map[string]time.Time // warnings and errors
}

type outageOf struct {
	brokers string
	logger  *slog.Logger
}

var outages sync.Map // *outage by outageOf: the clients of a process all notice the same

func newOutage(brokers []string, logger *slog.Logger) *outage {
	of := outageOf{strings.Join(brokers, ","), logger}
	o, _ := outages.LoadOrStore(of, &outage{brokers: of.brokers, logger: logger, shown: map[string]time.Time{}})
	return o.(*outage)
}

var (
	_ kgo.HookBrokerConnect = (*outage)(nil)
	_ kgo.HookBrokerE2E     = (*outage)(nil)
)

func (o *outage) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err != nil { // a connection alone is no answer
		o.note(err)
	}
}

func (o *outage) OnBrokerE2E(_ kgo.BrokerMetadata, _ int16, e2e kgo.BrokerE2E) { o.note(e2e.Err()) }

func (o *outage) note(err error) {
	if errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) || errors.Is(err, net.ErrClosed) {
		return // our own doing
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.cause = err
	switch {
	case err != nil && o.since.IsZero():
		o.since = time.Now()
		o.timer = time.AfterFunc(outageAfter, o.report)
	case err == nil && !o.since.IsZero():
		o.timer.Stop()
		if o.logged {
			o.logger.Info("Kafka is back", "brokers", o.brokers, "after", time.Since(o.since).Round(time.Millisecond))
		}
		o.since, o.logged = time.Time{}, false
	}
}

func (o *outage) report() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.since.IsZero() {
		return
	}
	o.logger.Error("Kafka is away: no broker answers; retrying", "brokers", o.brokers,
		"since", o.since.UTC().Format(time.RFC3339), "error", o.cause)
	o.logged = true
	o.timer = time.AfterFunc(outageRepeat, o.report)
}

// show reports whether to show a warning or error.
func (o *outage) show(key string, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.since.IsZero() || now.Sub(o.shown[key]) < repeatAfter {
		return false
	}
	for k, at := range o.shown {
		if now.Sub(at) > repeatAfter {
			delete(o.shown, k)
		}
	}
	o.shown[key] = now
	return true
}

// log is for what recurs, and for the clients: the same warning or error is shown once in a while, and none during an outage.
// What is not shown is logged at level debug, as are the clients' info lines: each step of joining a group is one.
func (o *outage) log() *slog.Logger { return slog.New(quiet{o.logger.Handler(), o}) }

type quiet struct {
	slog.Handler
	outage *outage
}

func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	if level == slog.LevelInfo {
		level = slog.LevelDebug
	}
	return q.Handler.Enabled(ctx, level)
}

func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	if r.Level == slog.LevelInfo || r.Level >= slog.LevelWarn && !q.outage.show(key(r), r.Time) {
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
	text := r.Level.String() + r.Message
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "addr", "broker", "group", "topic", "partition", "from":
			text += " " + a.Key + "=" + a.Value.String()
		}
		return true
	})
	return text
}
