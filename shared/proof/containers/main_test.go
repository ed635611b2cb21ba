// Package containers tests docker-compose.yml, the targets of the Makefile for it, and template.yaml under the SAM CLI.
package containers

import (
	"testing"

	"github.com/sipeat/sipeat/shared/proof/program"
)

func TestMain(m *testing.M) { program.Main(m) }
