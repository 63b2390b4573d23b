# Counts single tests in meson's testlog.txt: those that Criterion reports in its last line, those that TAP reports line by line, and
# one for each program that reports neither. A program that fails although all its tests passed (a crash at exit, a leak, a time-out)
# counts as one failure.
function finish() {
    if (name == "")
        return
    good = result ~ /^exit status 0( |$)/
    if (!good && result ~ /^exit status 77( |$)/)
        skipped++
    else {
        if (!reported)
            here_passed = good
        if (!good && here_failed == 0)
            here_failed = 1
        passed += here_passed
        failed += here_failed
    }
    name = result = ""
    here_passed = here_failed = reported = tap = 0
}
/^test: / { finish(); name = substr($0, 7) }
/^result: / && result == "" { result = $0; sub(/^result: +/, "", result) }
/\[====\] Synthesis: Tested:/ {
    reported = 1
    split($0, part, "[:|]")
    here_passed += part[5] + 0
    here_failed += part[7] # crashing ones are among them
}
/^TAP version [0-9]+/ || /^1\.\.[0-9]+/ { tap = 1 }
tap && /^ok / { reported = 1; here_passed++ }
tap && /^not ok / { reported = 1; here_failed++ }
END {
    finish()
    printf "%d passed, %d failed", passed, failed
    if (skipped)
        printf ", %d skipped", skipped
    print ""
}
