package cli

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTerminalLogs(t *testing.T) {
	for _, noColor := range []bool{true, false} {
		var out strings.Builder
		log := terminalLogger(&out, slog.LevelInfo, noColor)
		log.Debug("hidden")
		log.Warn("disk full", "id", "a\u009b2J\x1b[2Jb\nforged", "free", 7, "error", errors.New("\x1b[2J"))
		assert.Equal(t, noColor, !strings.Contains(out.String(), "\x1b[9"), "levels have colours")
		assert.NotContains(t, out.String(), "\u009b")
		assert.NotContains(t, out.String(), "\x1b[2J")
		assert.Equal(t, 1, strings.Count(out.String(), "\n"))
		if noColor {
			assert.Regexp(t, `^\d\d:\d\d:\d\d WRN disk full id=\S+ free=7 error=\S+\n$`, out.String())
		}
	}
}
