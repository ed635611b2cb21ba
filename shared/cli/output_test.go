package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/sipeat/sipeat/shared/bus/kafka/deadletters"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A table shows the first rows and counts the others; JSON has all.
func TestLongTablesAreCutOff(t *testing.T) {
	var actions []*deadletters.Action
	for n := range 103 {
		actions = append(actions, &deadletters.Action{Kind: deadletters.Redrive, Who: fmt.Sprintf("user-%03d", n)})
	}
	var out strings.Builder
	a := &app{stdout: &out}
	require.NoError(t, a.printAudit(actions))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 102)
	assert.Contains(t, lines[100], "user-099")
	assert.Equal(t, "… and 3 more; --json shows all", lines[101])

	out.Reset()
	a.json = true
	require.NoError(t, a.printAudit(actions))
	lines = strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 103)
}

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
