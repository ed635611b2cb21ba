package bootstrap

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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

type constant string

func (s constant) Invoke(context.Context, []byte) ([]byte, error) { return []byte(s), nil }

func table(settings.Settings, *slog.Logger) (Functions, error) {
	return Functions{"create-contact": constant("contact"), "create-machine": constant("machine")}, nil
}

func TestHandlerSelectsTheFunction(t *testing.T) {
	chosen, err := choose(environment(map[string]string{"_HANDLER": "create-machine", "KAFKA_BROKERS": "b:9098"}),
		[]string{"KAFKA_BROKERS"}, table)
	require.NoError(t, err)
	answer, err := chosen.Invoke(t.Context(), nil)
	require.NoError(t, err)
	assert.Equal(t, "machine", string(answer))
}

func TestInitFaults(t *testing.T) {
	good := map[string]string{"_HANDLER": "create-contact", "KAFKA_BROKERS": "b:9098"}
	with := func(name, value string) map[string]string {
		changed := map[string]string{name: value}
		for k, v := range good {
			if k != name {
				changed[k] = v
			}
		}
		return changed
	}
	for _, c := range []struct {
		name        string
		environment map[string]string
		open        func(settings.Settings, *slog.Logger) (Functions, error)
		texts       []string
	}{
		{"an unknown name", with("_HANDLER", "create-contcat"), table, []string{`"create-contcat"`, "create-contact, create-machine"}},
		{"no name", with("_HANDLER", ""), table, []string{`""`, "create-contact, create-machine"}},
		{"a setting that a laptop has a default for", with("KAFKA_BROKERS", " "), table, []string{"KAFKA_BROKERS: must be set"}},
		{"all that is wrong, at once", map[string]string{"LOG_LEVEL": "loud", "PARTIAL_BATCH_RESPONSES": "perhaps"}, table,
			[]string{"LOG_LEVEL", "PARTIAL_BATCH_RESPONSES", "KAFKA_BROKERS: must be set"}},
		{"a part that cannot be made", good, func(settings.Settings, *slog.Logger) (Functions, error) {
			return nil,
				errors.New("no region")
		}, []string{"no region"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := choose(environment(c.environment), []string{"KAFKA_BROKERS"}, c.open)
			require.Error(t, err)
			for _, text := range c.texts {
				assert.ErrorContains(t, err, text)
			}
		})
	}
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
		_, err := choose(environment(map[string]string{"_HANDLER": "create-contact", "LOG_LEVEL": given,
			"AWS_LAMBDA_LOG_LEVEL": "TRACE"}), nil,
			func(_ settings.Settings, logger *slog.Logger) (Functions, error) {
				assert.True(t, logger.Enabled(t.Context(), want), given)
				assert.False(t, logger.Enabled(t.Context(), want-1), given)
				return table(settings.Settings{}, logger)
			})
		require.NoError(t, err)
	}
}
