package bootstrap

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/sipeat/sipeat/shared/settings"
	"github.com/sipeat/sipeat/shared/trace"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func environment(of map[string]string) func(string) string {
	return func(name string) string { return of[name] }
}

func TestLogsAreJSONWithIDs(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(logs(&log, slog.LevelInfo)).With("part", "test")
	parent, ok := trace.Parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	require.True(t, ok)
	ctx := trace.With(lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "8476a536"}), parent)
	logger.InfoContext(ctx, "done")
	var line map[string]string
	require.NoError(t, json.Unmarshal(log.Bytes(), &line), log.String())
	assert.NotEmpty(t, line["timestamp"])
	delete(line, "timestamp")
	assert.Equal(t, map[string]string{
		"level": "INFO", "message": "done", "part": "test", "requestId": "8476a536",
		"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331",
	}, line)
}

// AWS_LAMBDA_LOG_LEVEL is a filter of Lambda's, not the level of the function.
func TestTheLevelIsLOG_LEVEL(t *testing.T) {
	for given, want := range map[string]slog.Level{"": slog.LevelInfo, "debug": slog.LevelDebug, "warn": slog.LevelWarn} {
		_, _ = choose(environment(map[string]string{"LOG_LEVEL": given, "AWS_LAMBDA_LOG_LEVEL": "TRACE"}), nil,
			func(_ settings.Settings, logger *slog.Logger) (Functions, error) {
				assert.True(t, logger.Enabled(t.Context(), want), given)
				assert.False(t, logger.Enabled(t.Context(), want-1), given)
				return nil, nil
			})
	}
}
