package local

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kfake"
)

// logger passes kfake's log to slog: errors and warnings as they are,
// everything else (it logs requests at info) at debug.
type logger struct {
	slog *slog.Logger

	// lastError is how a failed save becomes an error of Close: kfake's own
	// Close returns nothing and only logs.
	lastError atomic.Pointer[string]
}

func (l *logger) Logf(level kfake.LogLevel, format string, args ...any) {
	to := slog.LevelDebug
	switch level {
	case kfake.LogLevelError:
		to = slog.LevelError
		msg := fmt.Sprintf(format, args...)
		l.lastError.Store(&msg)
	case kfake.LogLevelWarn:
		to = slog.LevelWarn
	}
	if ctx := context.Background(); l.slog.Enabled(ctx, to) {
		l.slog.Log(ctx, to, fmt.Sprintf(format, args...))
	}
}
