package local

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/twmb/franz-go/pkg/kfake"
)

func TestLogsTheBrokersWarningsAndHidesItsChatter(t *testing.T) {
	for level, want := range map[kfake.LogLevel]string{
		kfake.LogLevelError: "level=ERROR", kfake.LogLevelWarn: "level=WARN",
		kfake.LogLevelInfo: "level=DEBUG", kfake.LogLevelDebug: "level=DEBUG",
	} {
		var sb strings.Builder
		l := &logger{slog: slog.New(slog.NewTextHandler(&sb, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		l.Logf(level, "partition %d", 7)
		assert.Contains(t, sb.String(), want)
		assert.Contains(t, sb.String(), "partition 7")
	}
}
