package bootstrap

import (
	"context"
	"io"
	"log/slog"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/sipeat/sipeat/shared/trace"
)

// logs writes JSON by the names that Lambda gives to time and text
// (https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html). The level is the function's own
// ApplicationLogLevel where that is set, otherwise LOG_LEVEL.
func logs(getenv func(string) string, to io.Writer, level slog.Level) slog.Handler {
	switch getenv("AWS_LAMBDA_LOG_LEVEL") {
	case "TRACE", "DEBUG": // slog has no trace
		level = slog.LevelDebug
	case "INFO":
		level = slog.LevelInfo
	case "WARN":
		level = slog.LevelWarn
	case "ERROR", "FATAL":
		level = slog.LevelError
	}
	return trace.Logs(invocation{slog.NewJSONHandler(to, &slog.HandlerOptions{Level: level, ReplaceAttr: lambdacontext.ReplaceAttr})})
}

// invocation adds the id of the invocation.
type invocation struct{ slog.Handler }

func (h invocation) Handle(ctx context.Context, r slog.Record) error {
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		r.AddAttrs(slog.String("requestId", lc.AwsRequestID))
	}
	return h.Handler.Handle(ctx, r)
}

func (h invocation) WithAttrs(attrs []slog.Attr) slog.Handler {
	return invocation{h.Handler.WithAttrs(attrs)}
}

func (h invocation) WithGroup(name string) slog.Handler { return invocation{h.Handler.WithGroup(name)} }
