package bootstrap

import (
	"context"
	"io"
	"log/slog"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/trace"
)

// logs writes JSON with Lambda's names of time and text
// (https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html) and the id of the invocation.
// LOG_LEVEL alone sets the level: template.yaml sets ApplicationLogLevel (AWS_LAMBDA_LOG_LEVEL) so that Lambda drops nothing.
func logs(to io.Writer, level slog.Level) slog.Handler {
	rename := func(groups []string, a slog.Attr) slog.Attr {
		return lambdacontext.ReplaceAttr(groups, events.LogAttr(groups, a))
	}
	return trace.Logs(slog.NewJSONHandler(to, &slog.HandlerOptions{Level: level, ReplaceAttr: rename}), invocation)
}

func invocation(ctx context.Context) (slog.Attr, bool) {
	lc, ok := lambdacontext.FromContext(ctx)
	if !ok {
		return slog.Attr{}, false
	}
	return slog.String("requestId", lc.AwsRequestID), true
}
