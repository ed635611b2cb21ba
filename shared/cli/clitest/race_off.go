//go:build !race

package clitest

const RaceDetector = false
