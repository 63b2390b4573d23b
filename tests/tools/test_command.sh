#!/bin/sh
# The command as its users see it: right use, wrong use, wrong data, damaged files, signals, full disks. $1: the executable.
# Prints TAP. All messages go to standard error in one form, exit codes are those of `rondo help`, only data is on standard
# output, and what was saved is never lost.
rondo=$1
case $rondo in
/*) ;;
*/*) rondo=$(pwd)/$rondo ;;
*) echo "Bail out! usage: test_command.sh PATH/rondo"; exit 1 ;;
esac
tests=${0%/*}
tests=$(cd "$tests" && pwd) || exit 1
folder=$(mktemp -d) || exit 1
disk=
leave() {
    [ -z "$disk" ] || umount "$disk" 2>/dev/null
    chmod -R u+rwx "$folder" 2>/dev/null
    rm -rf "$folder"
}
trap leave EXIT
trap 'exit 1' INT TERM HUP
cd "$folder" || exit 1
unset NO_COLOR
RONDO_THREADS=2
export RONDO_THREADS

echo 'TAP version 13'
number=0
wrong=0
# ok NAME: reports the exit code of the command before it.
ok() {
    if [ $? = 0 ]; then passed=ok; else passed='not ok' wrong=1; fi
    number=$((number + 1))
    echo "$passed $number - $*"
    [ "$passed" = ok ] || {
        echo "# exit code $code; standard error:"
        head -n 12 err | sed 's/^/# /'
        echo "# standard output:"
        head -n 3 out | cut -c 1-200 | sed 's/^/# /'
    }
}
skip() { number=$((number + 1)); echo "ok $number - $1 # SKIP $2"; }

# run WORDS...: rondo with the file `input` on standard input and `with` added to its environment; leaves code, out and err.
with=
# shellcheck disable=SC2086
run() { env $with "$rondo" "$@" <input >out 2>err; code=$?; }
: >nothing
ln -s nothing input
from() { rm input; ln -s "$1" input; }

# gives CODE: that exit code, and every message in the one form.
gives() { [ "$code" = "$1" ] && { [ "$code" = 0 ] || ! grep -qv '^rondo[ :]' err; } && ! grep -q "$(printf '[\r\033]')" err; }
says() { grep -q -e "$1" err; }

# refuses CODE PATTERN WORDS...: nothing on standard output, that exit code, a message that matches the pattern.
refuses() {
    wanted=$1 pattern=$2
    shift 2
    run "$@"
    gives "$wanted" && says "$pattern" && [ ! -s out ]
    ok "refused with $wanted and \"$pattern\": $(printf '%.90s' "$*")"
}

# ---- a corpus: sentences of a small grammar, translated word by word ----
corpus() { # LINES SEED NAME
    awk -v lines="$1" -v seed="$2" -v name="$3" 'BEGIN {
        split("dog cat man woman child bird horse teacher", noun); split("Hund Kater Mann Bär Räuber Vögel Gaul Prüfer", nomen)
        split("red old small loud green quick", which); split("rote alte kleine laute grüne schnelle", welche)
        split("sees likes hears follows paints", verb); split("sieht mag hört verfolgt malt", wort)
        for (i = 0; i < lines; i++) {
            for (k = 1; k <= 5; k++) { seed = (seed * 16807 + 11) % 2147483647; r[k] = seed }
            a = r[1] % 8 + 1; b = r[2] % 6 + 1; c = r[3] % 5 + 1; d = r[4] % 8 + 1; e = r[5] % 6 + 1
            printf "The %s %s %s the %s %s.\n", which[b], noun[a], verb[c], which[e], noun[d] >(name ".en")
            printf "Der %s %s %s den %s %s.\n", welche[b], nomen[a], wort[c], welche[e], nomen[d] >(name ".de")
        } }'
}
corpus 300 1 train
corpus 20 77 valid
small="--dim 32 --ffn 64 --heads 2 --encoder-layers 1 --decoder-layers 1 --vocabulary 120 --batch-tokens 400 --warmup 10"
texts="--train train.en train.de"
# shellcheck disable=SC2086
train() { run train --output-folder "$@" $texts $small; }
refuses_train() { # CODE PATTERN FOLDER WORDS...
    a=$1 b=$2
    shift 2
    # shellcheck disable=SC2086
    refuses "$a" "$b" train $small --output-folder "$@"
}

# The numbers of a safetensors file without its header, which also has the time that training took.
numbers() {
    length=$(od -A n -t u8 -N 8 "$1" | tr -d ' ')
    tail -c +$((length + 9)) "$1"
}
same_numbers() { numbers "$1" >one && numbers "$2" >two && [ -s one ] && cmp -s one two; }
waits_for() { # PATTERN FILE: at most 20 s
    tries=0
    until grep -q -e "$1" "$2" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 400 ] || return 1
        sleep 0.05
    done
}

# ---- wrong use: code 2 ----
refuses 2 'there is no command trian; did you mean train?' trian
refuses 2 'there is no option --otput-folder; did you mean --output-folder?' train --otput-folder x
refuses 2 'Rondo calls --dim-emb --dim' train --dim-emb 64
refuses 2 'takes a whole number' train --dim abc
refuses 2 'out of range: it must lie between 0 and 1000' train --rate 1e9
refuses 2 'needs a value' train --dim
refuses 2 'is one of bpe|unigram' train --subwords words
refuses 2 'name the folder of the run' train
refuses 2 'an argument is missing: rondo translate MODEL' translate
refuses 2 "unexpected argument 'b'" translate a b
refuses 2 'there is no such pass; there are' inspect train.en --after fuss
refuses_train 2 'takes two files' new --train train.en
refuses_train 2 'heads 3 does not divide --dim' new --train train.en train.de --heads 3
refuses 2 '^rondo train: --cross none: there is no such mixer; there are' train --cross none
refuses_train 2 'ssru: this mixer has no form as cross attention' new --train train.en train.de --cross ssru
printf 'dim: 64\nmixer: atention\n' >typo.yml
refuses 2 'typo.yml line 2: --mixer atention: there is no such mixer' train --settings typo.yml
refuses 2 'there is no command trian; did you mean train?' help trian
refuses_train 2 'name it with --valid' new --train train.en train.de --samples 2
refuses_train 2 'which a language model does not make' new --type language --train train.de --samples 2
[ ! -e new ]
ok 'a run that was not started leaves no folder behind'
with=RONDO_THREADS=many
run help
with=
gives 2 && says 'is not a number of threads'
ok 'RONDO_THREADS is checked'
run
[ $code = 2 ] && grep -q 'rondo COMMAND --help' out
ok 'without a command: usage, and code 2'
run help
gives 0 && [ ! -s err ] && [ "$(wc -L <out)" -le 80 ] && grep -q '^  manual ' out && grep -q '^  completion ' out &&
    grep -q '^  linear  *φ(q)' out && grep -q '^  memsizer\[:slots\]  *a memory' out && grep -q '^  translation  *an encoder' out
ok 'rondo help lists commands, tasks and mixers, each with its meaning'
sed -n 's/^  \([a-z][a-z]*\)  .*/\1/p; /^Tasks/q' out >commands
while read -r command; do
    run "$command" --help
    gives 0 && grep -q "^Usage: rondo $command" out && [ ! -s err ] && [ "$(wc -L <out)" -le 80 ]
    ok "rondo $command --help"
done <commands
[ "$(wc -l <commands)" = 16 ]
ok 'all commands were checked'
run train --help
grep -q '^  linear  *φ(q)' out && grep -q '^  language  *a decoder alone' out
ok 'rondo train --help lists mixers and tasks'
run --version
cp out version
run version
gives 0 && cmp -s out version && grep -q '^rondo [0-9]' out
ok 'version'
run man
gives 0 && grep -q '^.SH MIXERS' out && grep -q 'rondo translate' out
ok 'the manual page'
run completion
gives 0 && bash -n out && grep -q 'translation language' out
ok 'completion is a program for bash, and knows the tasks'

# ---- wrong data: code 3, and where it is wrong ----
: >empty
head -n 299 train.de >shorter
awk '{ print } NR == 41 { exit }' train.de >bytes && printf 'Der F\344rber\n' >>bytes && tail -n 258 train.de >>bytes
gzip -c bytes >bytes.gz
{ head -n 11 train.de; printf 'a\0b\n'; tail -n 288 train.de; } >nul
gzip -c train.de | head -c 500 >cut.gz
iconv -f utf-8 -t utf-16 train.de >wide
refuses_train 3 'cannot open missing.de: No such file' new --train train.en missing.de
refuses_train 3 'the file empty is empty' new --train empty empty
refuses_train 3 'train.en has 300 lines and shorter has 299' new --train train.en shorter
refuses_train 3 'bytes line 42: not UTF-8 (byte 0xE4 at column 6); convert it' new --train train.en bytes
refuses_train 3 'bytes.gz line 42: not UTF-8' new --train train.en bytes.gz
refuses_train 3 'nul line 12: a NUL byte at column 2' new --train train.en nul
refuses_train 3 'cut.gz ends in the middle of its compressed data' new --train train.en cut.gz
refuses_train 3 'wide line 1: ' new --train train.en wide
refuses_train 3 'there is no file or folder missing.model' new --train train.en train.de --tokenizer missing.model
refuses_train 3 'train.de: ' new --train train.en train.de --tokenizer train.de
refuses_train 3 'leaves nothing to learn from' new --train train.en train.de --max-words 1
refuses_train 3 '/dev/zero line 1: a NUL byte at column 1' new --train /dev/zero train.de
mkfifo endless
yes | tr -d '\n' >endless 2>err &
refuses_train 3 'endless line 1 is longer than 1,048,576 bytes; break it into lines' new --train endless train.de
wait $!
[ ! -e new ]
ok 'wrong data leaves no folder behind'

# ---- unusual data that is valid ----
long=$(awk 'BEGIN { for (i = 0; i < 10000; i++) printf "dog " }')
{ printf '\357\273\277'; sed 's/$/\r/' train.en; printf '\r\n'; echo "$long"; } | gzip -c >odd.en.gz
{ cat train.de; printf 'nichts\n'; echo "$long"; } >odd.de
# shellcheck disable=SC2086
run train --output-folder odd --train odd.en.gz odd.de $small --updates 2
gives 0 && says '302 lines, 1 empty and 1 of more than 256 tokens skipped'
ok 'a BOM, CRLF, gzip, an empty line and one of 10,000 words'

# ---- folders, and files in them that Rondo did not write ----
for file in checkpoint.safetensors previous.safetensors diverged.safetensors best.safetensors start.safetensors lock; do
    mkdir foreign
    echo mine >foreign/$file
    refuses_train 2 "$file" foreign --train train.en train.de
    [ "$(cat foreign/$file)" = mine ] && [ "$(ls foreign | grep -v lock)" = "$(echo $file | grep -v lock)" ]
    ok "a user's file called $file is left alone"
    rm -r foreign
done
mkdir foreign
echo mine >foreign/tokenizer.model
refuses_train 2 'tokenizer.model already exists and has other subwords' foreign --train train.en train.de --updates 1
[ "$(cat foreign/tokenizer.model)" = mine ]
ok "a user's file called tokenizer.model is left alone"
rm -r foreign
mkdir -p foreign
cp train.en foreign/text.part-1.en && cp train.de foreign/text.part-1.de
run train --output-folder foreign --train foreign/text.part-1.en foreign/text.part-1.de $small --updates 1
gives 0 && cmp -s train.en foreign/text.part-1.en && cmp -s train.de foreign/text.part-1.de
ok 'the training text may lie in the folder of the run, under any name'
echo text >file
refuses_train 1 'file: cannot make a folder: Not a directory' file --train train.en train.de
[ "$(cat file)" = text ]
ok 'a file in the place of the folder is left alone'
mkdir closed
chmod 555 closed
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null && chmod 755 "$folder" && setpriv --reuid=65534 --regid=65534 --clear-groups "$rondo" help >out 2>err; then
    # shellcheck disable=SC2086
    setpriv --reuid=65534 --regid=65534 --clear-groups "$rondo" train --output-folder closed $texts $small >out 2>err
    code=$?
    gives 1 && says 'closed/lock: cannot open: Permission denied'
    ok 'a folder without write permission'
elif [ "$(id -u)" != 0 ]; then
    refuses_train 1 'closed/lock: cannot open: Permission denied' closed --train train.en train.de
else
    skip 'a folder without write permission' 'root may write anywhere'
fi

# ---- training, and resuming ----
train straight --updates 40 --valid valid.en valid.de --samples 2 --report-every 10
gives 0
ok 'trains'
[ ! -s out ] && ! grep -q "$(printf '[\r\033]')" err
ok 'training prints on standard error alone, without colour and carriage returns'
[ "$(grep -c '^    source  The ' err)" = 4 ] && [ "$(grep -c '^    before  ' err)" = 2 ] && [ "$(grep -c '^    after   ' err)" = 2 ] &&
    [ "$(grep '^    source' err | sort | uniq -c | awk '$1 == 2' | wc -l)" = 2 ]
ok 'the same samples before and after'
[ "$(grep '^    ' err | LC_ALL=C.UTF-8 wc -L)" -le 100 ]
ok 'samples are not wider than a page'
says 'update 40: validation nll .*, the best so far' && says 'straight: 40 updates, .* epochs, .* tokens/s, best validation nll .* at update 40' &&
    says 'update 10, epoch 1, .* left: loss .*, nll .* (perplexity .*), .* + .* tokens/s, gradient .*, rate'
ok 'progress and a summary'
cp -r straight kept
cp straight/checkpoint.safetensors straight_40
train straight --updates 40
gives 0 && says 'nothing left to do' && same_numbers straight/checkpoint.safetensors kept/checkpoint.safetensors
ok 'a finished run is left alone'

with=RONDO_THREADS=1
train one_thread --updates 40
with=RONDO_THREADS=3
train three_threads --updates 40
with=
same_numbers one_thread/checkpoint.safetensors three_threads/checkpoint.safetensors &&
    same_numbers one_thread/checkpoint.safetensors straight/checkpoint.safetensors
ok 'the same bits with 1, 2 and 3 threads, with and without validation'

# shellcheck disable=SC2086
interrupt() { # SIGNAL CODE
    rm err # or what an earlier one said would be waited for
    "$rondo" train --output-folder "stop$2" $texts $small --updates 20000 --report-every 1 >out 2>err &
    trainer=$!
    waits_for 'update 5,' err
    kill "-$1" $trainer
    wait $trainer
    code=$?
    until=$(($(grep -o 'update [0-9]*,' err | tail -n 1 | tr -cd 0-9) + 10))
    gives_signal "$2" && says 'stopped and saved; the same command resumes' && [ -e "stop$2/checkpoint.safetensors" ]
    ok "signal $1: saved, code $2"
}
gives_signal() { [ "$code" = "$1" ]; }
interrupt TERM 143
interrupt INT 130
[ "$(wc -l <stop130/peak.txt)" = 3 ] && head -n 1 stop130/peak.txt | grep -q '^# rondo peak 1' && grep -q ', 2 threads, oneDNN ' stop130/peak.txt
ok 'the peak is kept in the folder, with the machine that it is of'
mkdir elsewhere
(cd elsewhere && "$rondo" train --output-folder ../stop130 --updates $until <../nothing) >out 2>err
code=$?
gives 0 && says 'resuming after update' && says "$until updates"
ok 'resumes with the folder alone, from any working directory'
cp stop130/peak.txt peak
run train --output-folder stop130 --updates $((until + 2)) --report-every 1
gives 0 && says '[0-9] % of peak' && cmp -s stop130/peak.txt peak
ok 'a short continuation uses the stored peak'
sed 's/, 2 threads/, 99 threads/' peak >stop143/peak.txt
run train --output-folder stop143 --updates $((until + 2)) --report-every 1
gives 0 && ! says 'of peak'
ok 'the peak of another machine is not used'
train as_long --updates $((until + 2))
same_numbers stop130/checkpoint.safetensors as_long/checkpoint.safetensors
ok 'stopped and resumed: the same bits as without a stop'

# shellcheck disable=SC2086
"$rondo" train --output-folder busy $texts $small --updates 20000 --report-every 1 >first_out 2>first &
trainer=$!
waits_for 'update 1,' first
refuses_train 2 "busy: process $trainer works there" busy --train train.en train.de
kill -INT $trainer
wait $trainer
[ -e busy/checkpoint.safetensors ]
ok 'the first trainer of the folder is not disturbed'

# While data is prepared there is nothing to save: a signal ends the process within seconds, and no folder is left.
corpus 40000 5 large
stops_soon() { # PATTERN FILE SOURCE TARGET: the trainer of these texts gets SIGTERM once the file has the pattern
    rm err
    # shellcheck disable=SC2086
    "$rondo" train --output-folder soon --train "$3" "$4" $small --vocabulary 1000 >out 2>err &
    trainer=$!
    waits_for "$1" "$2"
    kill -TERM $trainer
    began=$(date +%s%N)
    wait $trainer
    code=$?
    took=$((($(date +%s%N) - began) / 1000000))
    gives_signal 143 && says 'rondo train: stopped' && [ $took -lt 3000 ] && [ ! -e soon ]
}
stops_soon 'finding 1,000 subwords' err large.en large.de
ok "SIGTERM while the vocabulary is learned"
mkfifo silent
sleep 60 >silent &
sleeper=$!
stops_soon '[0-9]' soon/lock silent large.de
ok "SIGTERM while waiting for text"
kill $sleeper 2>/dev/null

# Killed repeatedly while it saves after every update, it still arrives at the same numbers.
broken=0 round=0
while [ $round -lt 8 ]; do
    rm err
    # shellcheck disable=SC2086
    "$rondo" train --output-folder killed $texts $small --updates 40 --save-every 1 --report-every 1 >out 2>err &
    trainer=$!
    waits_for 'update [0-9]' err
    sleep "0.0$round"
    kill -KILL $trainer 2>/dev/null
    wait $trainer 2>/dev/null
    if [ -e killed/checkpoint.safetensors ]; then
        "$rondo" translate killed <nothing >out 2>err || broken=1
    fi
    round=$((round + 1))
done
[ $broken = 0 ]
ok 'kill -9 while checkpoints are written: the one before is whole'
rm err
# shellcheck disable=SC2086
"$rondo" train --output-folder killed $texts $small --updates 20000 --report-every 1 >out 2>err &
trainer=$!
waits_for 'training:' err
kill -KILL $trainer
wait $trainer 2>/dev/null
token=$(sed -n "s/^$trainer \([0-9a-f]*\)$/\1/p" killed/lock)
[ ${#token} = 16 ]
ok 'a killed trainer has left its number and its token in the lock'
foreign="thesis.part-2.tex corpus.part-1-0 checkpoint.safetensors.part-1-0 a.part-fedcba9876543210-0 b.part-$token- c.part-$token-x d.part-$token-0.en"
for file in $foreign; do echo mine >"killed/$file"; done
echo part >"killed/checkpoint.safetensors.part-$token-0"
echo part >"killed/settings.yaml.part-$token-17"
train killed --updates 40 --save-every 1
gives 0 && same_numbers killed/checkpoint.safetensors straight/checkpoint.safetensors &&
    [ ! -e "killed/checkpoint.safetensors.part-$token-0" ] && [ ! -e "killed/settings.yaml.part-$token-17" ]
ok 'resuming after kill -9: the same bits, and partial files are removed'
(cd killed && cat $foreign) >out 2>err
[ "$(grep -c mine out)" = 7 ]
ok 'files that Rondo did not write are left alone, whatever their names'

# ---- resuming with another model is refused, and nothing is changed ----
sums() { cksum straight/*; }
sums >before
for option in '--dim 64' '--ffn 32' '--heads 4' '--encoder-layers 2' '--decoder-layers 2' '--decoder-self average' '--mixer linear' --post-norm \
    --no-tied-embeddings '--vocabulary 200' '--subwords unigram' '--seed 2' '--type language' '--preset small' '--tokenizer odd/tokenizer.model'; do
    # shellcheck disable=SC2086
    run train --output-folder straight $option
    name=${option%% *}
    case $name in --mixer) name=--encoder-self ;; --preset) name=--dim ;; esac
    gives 2 && says "$name .*: this run was started with $name" && [ ! -s out ]
    ok "refused for a run that was started without it: $option"
done
sums | cmp -s - before
ok 'a refused command line changes nothing in the folder'
printf 'dim: 64\n' >other.yml
refuses 2 'started with --dim 32' train --output-folder straight --settings other.yml
run train --output-folder straight --updates 45 --rate 1e-3 --minutes 5 --report-every 1
gives 0 && says '^update 45,.*rate 0.000471' && grep -q '^updates: 45' straight/settings.yaml && grep -q '^rate: 0.001' straight/settings.yaml
ok 'updates, minutes and rate may change, and are stored'
run train --output-folder straight --batch-tokens 300 --updates 46
gives 0 && says 'batches come in another order'
ok 'another --batch-tokens is allowed and reported'

# ---- diverging: code 5, the checkpoint kept ----
cp -r kept wild
cksum wild/checkpoint.safetensors >before
run train --output-folder wild --updates 100 --rate 1000 --schedule constant --weight-decay 1
cksum wild/checkpoint.safetensors >after
gives 5 && says 'the loss has exploded' && says 'wild keeps the checkpoint of update 40; resume from it with: rondo train --output-folder wild --rate 0.0025' &&
    cmp -s before after
ok 'a loss that explodes: code 5, the last checkpoint kept, what to do'
run train --output-folder wild --updates 42 --rate 0.0025 --weight-decay 0
gives 0
ok 'its advice works'
# advice WORDS...: the command that was printed, with more words; it must train on, and better than chance (log 120 is 4.8).
advice() {
    words=$(sed -n 's/.* with: rondo //p' err)
    # shellcheck disable=SC2086
    [ -n "$words" ] && run $words "$@" && gives 0 && [ "$(sed -n 's/.* nll \([0-9]*\)\..*/\1/p' err | tail -n 1)" -lt 4 ]
}
for before in 40 0; do
    rm -rf wild
    [ $before = 0 ] || cp -r kept wild
    train wild --updates 100 --rate 1000 --schedule constant --save-every 1
    gives 5 && says 'the checkpoint of update .* had diverged already; it is kept as wild/diverged.safetensors' && [ -s wild/diverged.safetensors ]
    ok "saved at each update, diverging after $before: the last checkpoint is put aside"
    if [ $before = 0 ]; then says 'there is no checkpoint to resume from; start again with'
    else says 'wild keeps the checkpoint of update 4[0-9]; resume from it with'; fi
    ok 'the last good one is kept, if there was any'
    advice --updates 150 --report-every 50
    ok 'its advice works'
done
train wild --updates 152 --save-every 1
mv wild/checkpoint.safetensors lost && run train --output-folder wild --updates 153
gives 0 && says 'resuming after update 151' && [ ! -e wild/diverged.safetensors.part* ]
ok 'killed between one checkpoint and the next, it resumes from the one before'

# ---- a full disk ----
cp -r kept full
cksum full/*.safetensors >before
(ulimit -f 100 && exec "$rondo" train --output-folder full --updates 45) <nothing >out 2>err
code=$?
cksum full/*.safetensors >after
gives 1 && says 'full/.*.safetensors: cannot write: File too large' && says 'full keeps the checkpoint of update 40; once the cause is removed' &&
    cmp -s before after && ! ls full | grep -q part
ok 'no room for a checkpoint (ulimit): code 1, the last one kept'
run train --output-folder full --updates 45
gives 0
ok 'with room again, the same command resumes'
mkdir disk
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=1200k rondo disk 2>err; then
    disk=$folder/disk
    train disk/run --updates 5 && cp disk/run/checkpoint.safetensors before &&
        head -c 1200000 /dev/zero >disk/filler 2>/dev/null
    run train --output-folder disk/run --updates 10
    gives 1 && says 'No space left on device' && cmp -s before disk/run/checkpoint.safetensors
    ok 'a full disk: code 1, the last checkpoint kept'
    rm disk/filler
    run train --output-folder disk/run --updates 10
    gives 0
    ok 'with room again, the same command resumes'
    umount disk && disk=
else
    skip 'a full disk' 'no file system can be mounted here'
fi

# ---- damaged runs: code 4 ----
damage() { rm -rf damaged && cp -r kept damaged && rm damaged/best.safetensors; }
damage
head -c 50000 kept/checkpoint.safetensors >damaged/checkpoint.safetensors
refuses 4 'damaged/checkpoint.safetensors: .* the file is damaged' train --output-folder damaged --updates 50
refuses 4 'damaged/checkpoint.safetensors: .* the file is damaged' translate damaged
damage
cp odd/tokenizer.model damaged/tokenizer.model
head -c 1000 kept/tokenizer.model >damaged/tokenizer.model
refuses 4 'damaged/tokenizer.model: ' translate damaged
tr a-z b-za <train.en >other.en
run train --output-folder other --train other.en train.de $small --updates 1
cp other/tokenizer.model damaged/tokenizer.model
refuses 4 'damaged/checkpoint.safetensors was trained with another tokenizer' translate damaged
refuses 4 'damaged/checkpoint.safetensors was trained with another tokenizer' train --output-folder damaged --updates 50
cp kept/best.safetensors damaged
refuses 4 'damaged/best.safetensors was trained with another tokenizer' translate damaged
rm damaged/tokenizer.model
refuses 2 'not its subwords, tokenizer.model' train --output-folder damaged --updates 50
damage
rm damaged/settings.yaml
refuses 2 'a checkpoint.safetensors but no settings.yaml' train --output-folder damaged --train train.en train.de
refuses 4 'damaged is not a run' translate damaged
damage
echo 'dim: wide' >>damaged/settings.yaml
refuses 2 'damaged/settings.yaml line .*' train --output-folder damaged --updates 50
damage
sed 's/^dim: 32/dim: 64/' kept/settings.yaml >damaged/settings.yaml
refuses 4 'checkpoint.safetensors: tensor .* is F32 .*, the model has F32' train --output-folder damaged --updates 50

changed() { LC_ALL=C sed "s/rondo\.checksum/other.checksum/g; $1" "$2"; } # by somebody who takes the checksums off
damage
changed '' kept/checkpoint.safetensors >damaged/checkpoint.safetensors
run train --output-folder damaged --updates 41
gives 0 && [ "$(grep -c 'was written without checksums' err)" = 1 ]
ok 'a checkpoint from before there were checksums is resumed, and it says so once'

damage
changed 's/rondo\.epoch/other.epoch/; s/rondo\.index/other.index/' kept/checkpoint.safetensors >damaged/checkpoint.safetensors
run train --output-folder damaged --updates 43
cp -r kept placed && run train --output-folder placed --updates 43
gives 0 && same_numbers damaged/checkpoint.safetensors placed/checkpoint.safetensors
ok 'a checkpoint that does not say where it is in the text is resumed at the same place'

# ---- one file ----
began=$(date +%s%N)
refuses 1 'missing/wisdom: cannot create' tune missing/wisdom
refuses 2 'elsewhere is a folder' tune elsewhere
took=$((($(date +%s%N) - began) / 1000000))
[ $took -lt 3000 ]
ok 'tune checks that it can write before it measures'
run export straight model.rondo
gives 0 && [ ! -s out ] && says 'model.rondo: .* parameters, decoder and tokenizer'
ok 'exports'
refuses 4 'there is no folder missing' export missing some.rondo
refuses 4 'train.en is not a folder' export train.en some.rondo
refuses 1 '/missing/some.rondo: cannot create' export straight "$folder/missing/some.rondo"
mkfifo pipe.rondo
refuses 2 'pipe.rondo is a device, a pipe or a socket; only a regular file is replaced' export straight pipe.rondo
refuses 2 'elsewhere is a folder' export straight elsewhere
[ -p pipe.rondo ]
ok 'a pipe stays a pipe'
if [ "$(id -u)" = 0 ] && mknod null.rondo c 1 3 2>/dev/null; then
    refuses 2 'null.rondo is a device' export straight null.rondo
    [ -c null.rondo ]
    ok 'a device stays a device'
else
    skip 'a device stays a device' 'only root can make one'
fi
echo old >target.rondo
ln -s target.rondo link.rondo
ln -s "$folder/elsewhere/new.rondo" dangling.rondo
run export straight link.rondo
gives 0 && [ -L link.rondo ] && cmp -s target.rondo model.rondo
ok 'a link stays a link, and the file that it leads to is replaced'
run export straight dangling.rondo
gives 0 && [ -L dangling.rondo ] && cmp -s elsewhere/new.rondo model.rondo
ok 'a link may lead to a file that does not exist yet'
refuses 4 'there is no file or folder missing' translate missing
refuses 4 'holds no compiled model; make one with' translate straight/checkpoint.safetensors
refuses 4 'this is not a safetensors file' translate train.en
refuses 4 'fewer than 8 bytes' translate empty
run check model.rondo
gives 0 && grep -q '^ok *model.rondo$' out && [ ! -s err ]
ok 'an exported file is checked'
{ head -c -4 model.rondo; printf '\7\7\7\7'; } >damaged.rondo
run check damaged.rondo
gives 4 && grep -q '^FAILED *damaged.rondo$' out && says 'damaged.rondo: tensor ".*" does not match its checksum'
ok 'a damaged tensor in it is found when somebody asks'
run check straight --json
gives 0 && grep -q '"straight/checkpoint.safetensors", "result": "ok"' out
ok 'the files of a run are checked'
changed '' model.rondo >plain.rondo
run check plain.rondo
gives 4 && says 'plain.rondo was written without checksums'
ok 'a file without checksums is not called right'
from valid.en
run translate plain.rondo
gives 0
ok 'it is used as before'
from nothing
mkdir nowhere_trained
refuses 4 'nowhere_trained has no file of weights to check' check nowhere_trained
head -c 60000 model.rondo >cut.rondo
refuses 4 'cut.rondo: .* damaged' translate cut.rondo
refuses 4 'cut.rondo: .* damaged' explain cut.rondo
changed 's/"rondo.format":"1"/"rondo.format":"7"/' model.rondo >later.rondo
refuses 4 'later.rondo has format 7, this version reads format 1' translate later.rondo
changed 's/f32\[32,32\]/f32[32,64]/g' model.rondo >lying.rondo
refuses 4 'lying.rondo: rondo.graph' translate lying.rondo
LC_ALL=C sed 's/f32\[32,32\]/f32[32,64]/g' model.rondo >flipped.rondo
refuses 4 'flipped.rondo: its header does not match its checksum' translate flipped.rondo
changed 's/= softmax(/= sigmoid(/; s/= matmul(/= matnul(/' model.rondo >unknown.rondo
refuses 4 'unknown.rondo: rondo.graph.*: there is no op' translate unknown.rondo

# ---- translating ----
from valid.en
run translate model.rondo
cp out file_out
gives 0 && [ ! -s err ] && [ "$(wc -l <out)" = 20 ]
ok 'one line of output per line of input'
cp straight/checkpoint.safetensors straight/best.safetensors # a run gives its best weights, the file was made of them too
run export straight model.rondo
run translate model.rondo
cp out file_out
run translate straight
cmp -s out file_out
ok 'the run and the exported file translate alike'
run translate model.rondo --batch 1
cmp -s out file_out
ok 'a batch of 1 translates like a batch of 32'
from nothing
run translate model.rondo
gives 0 && [ ! -s out ] && [ ! -s err ]
ok 'nothing in, nothing out'
printf '\nThe red dog sees the old cat.\r\n\n   \nThe red dog sees the old cat.' >gaps
from gaps
run translate model.rondo
gives 0 && [ "$(awk 'END { print NR }' out)" = 5 ] && awk 'NR == 1 || NR == 3 || NR == 4 { if ($0 != "") exit 1 }' out &&
    [ -n "$(sed -n 2p out)" ] && [ "$(sed -n 2p out)" = "$(sed -n 5p out)" ]
ok 'empty lines stay in their places; CRLF and a missing last line end change nothing'
echo "$long" >long
cat valid.en >>long
from long
run translate model.rondo
gives 0 && [ "$(wc -l <out)" = 21 ] && says 'line 1 has .* tokens; only the first 512 are translated' && tail -n 20 out | cmp -s - file_out
ok 'a line of 10,000 words is cut, with a message'
{ head -n 4 valid.en; printf 'caf\351\na\0b\n'; tail -n 16 valid.en; } >mixed
from mixed
run translate model.rondo
gives 3 && says 'standard input line 5: not UTF-8 (byte 0xE9 at column 4)' && says 'standard input line 6: a NUL byte at column 2' &&
    [ "$(wc -l <err)" = 3 ] && says "2 of the input's lines are not text and were left empty" && { head -n 4 file_out; echo; echo; tail -n 16 file_out; } | cmp -s - out
ok 'lines that are not text are reported and left empty; all others are translated, and the command fails'
{ head -n 3 valid.en; head -c 1100000 /dev/zero | tr '\0' a; } >broad
from broad
run translate model.rondo
gives 3 && says 'standard input line 4 is longer than 1,048,576 bytes' && head -n 3 file_out | cmp -s - out
ok 'lines before an endless one are translated, then the command fails'
"$rondo" translate model.rondo <elsewhere >out 2>err
code=$?
gives 3 && says 'cannot read standard input: Is a directory'
ok 'input that cannot be read is not taken for empty input'
from nothing
awk 'BEGIN { for (i = 0; i < 3000; i++) print "The red dog sees the old cat." }' >many
{ "$rondo" translate model.rondo --max-length 4 <many 2>err; echo $? >status; } | head -n 1 >out
code=$(cat status)
gives 1 && says 'closed by its reader' && [ "$(wc -l <out)" = 1 ]
ok 'a broken pipe'
"$rondo" translate model.rondo <valid.en >/dev/full 2>err
code=$?
gives 1 && says 'cannot write to standard output'
ok 'standard output on a full disk'
{ "$rondo" inspect model.rondo 2>err; echo $? >status; } | : >out
sleep 0.1
code=$(cat status)
gives 1 && says 'closed by its reader'
ok 'a broken pipe while printing a long text'

# ---- closed standard streams: messages must not end up in files, and data that cannot be printed is a failure ----
# shellcheck disable=SC2086
"$rondo" train --output-folder silenced $texts $small --updates 40 --save-every 5 <&- >&- 2>&-
code=$?
: >err
[ $code = 0 ] && same_numbers silenced/checkpoint.safetensors straight_40 && ! grep -aq 'rondo train:\|, epoch ' silenced/*
ok 'trains with all of them closed: the same bits'
"$rondo" translate model.rondo <valid.en >&- 2>err
code=$?
gives 1 && says 'cannot write to standard output'
ok 'translating into a closed standard output fails'
"$rondo" translate model.rondo <&- >out 2>err
code=$?
gives 1 && says 'cannot read standard input' && [ ! -s out ]
ok 'translating a closed standard input fails'
"$rondo" translate model.rondo <valid.en >out 2>&-
code=$?
: >err
gives 0 && cmp -s out file_out
ok 'translating needs no standard error'

# ---- language models ----
# shellcheck disable=SC2086
run train --output-folder language --type language --train train.de --valid valid.de $small --updates 30
gives 0 && says 'rondo generate language'
ok 'trains a language model'
run generate language --prompt 'Der alte' --lines 3 --temperature 1 --max-length 12 --seed 5
cp out first
gives 0 && [ "$(grep -c '^Der alte' out)" = 3 ] && [ "$(wc -l <out)" = 3 ] && [ ! -s err ]
ok 'continues a prompt'
run generate language --prompt 'Der alte' --lines 3 --temperature 1 --max-length 12 --seed 5 --batch 2
run generate language --prompt 'Der alte' --lines 3 --temperature 1 --max-length 12 --seed 5
cmp -s out first
ok 'the same seed gives the same words'
run export language language.rondo
run generate language.rondo --prompt 'Der alte' --lines 3 --temperature 1 --max-length 12 --seed 5
gives 0 && cmp -s out first
ok 'the exported file gives the same words'
run generate language.rondo --no-map --prompt 'Der alte' --lines 3 --temperature 1 --max-length 12 --seed 5
gives 0 && cmp -s out first
ok 'the exported file read into memory gives the same words'
refuses 4 'language is a language model' translate language
refuses 4 'language.rondo is a language model' translate language.rondo
refuses 4 'straight translates' generate straight
refuses 4 'model.rondo translates' generate model.rondo

rm err
"$rondo" generate language --max-length 1000000000 --temperature 5 --lines 1000000 >out 2>err &
writer=$!
tries=0
until [ -s out ] || [ $tries -ge 400 ]; do sleep 0.05; tries=$((tries + 1)); done
peak=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' /proc/$writer/status)
kill -INT $writer
wait $writer
code=$?
gives_signal 130 && [ "${peak:-0}" -gt 0 ] && [ "$peak" -lt 1000000 ]
ok 'memory grows with what is generated, not with --max-length; Ctrl-C ends it'

# ---- evaluating ----
from valid.de
run evaluate --reference valid.de --source valid.en --memory train.en train.de --json
gives 0 && grep -q '"name": "bleu", "bleu": 100,' out && grep -q '"name": "copy"' out && grep -q '"name": "memory"' out
ok 'evaluates'
run evaluate --reference valid.de --expect 'bleu>=101'
[ $code = 6 ] && says bleu
ok 'a missed --expect: code 6'
from nothing
refuses 3 'has 0 lines and valid.de has 20' evaluate --reference valid.de
refuses 3 'cannot open missing' evaluate --reference valid.de --hypothesis missing
refuses 2 'needs --reference' evaluate

# ---- measuring ----
run bench train --dim 8 --ffn 8 --heads 2 --encoder-layers 1 --decoder-layers 1 --vocabulary 50 --runs 1
gives 0 && grep -qE '^  step flops +[1-9]' out && grep -qE '^  tokens/s +[1-9]' out
ok 'bench train measures the speed of training'

# ---- graphs as text ----
cat >good.graph <<'G'
symbols B T
%q = input(name="q", type=f32[B,T,8]) : f32[B,T,8]
G
run explain straight
gives 0 && grep -q 'REWRITTEN' out && grep -q 'NOT REWRITTEN: softmax' out && [ ! -s err ]
ok 'explains a run'
run explain model.rondo
gives 0 && grep -q 'REWRITTEN' out
ok 'explains an exported file'
echo 'symbols B T
this is no graph' >bad.graph
refuses 4 'bad.graph:2' explain bad.graph
refuses 4 'bad.graph:2' inspect bad.graph
refuses 4 'there is no file or folder missing.graph' explain missing.graph
run inspect straight --after linearize
gives 0 && grep -q 'scan(' out
ok 'prints the graph after a pass'
for pass in stream compose hoist; do # the decoder's: they leave a state
    run inspect straight --after $pass
    gives 0 && grep -q "^# straight after $pass" out && grep -q '^port position carry' out
    ok "prints the decoder after $pass"
done
run inspect straight --format dot
gives 0 && head -n 1 out | grep -q '^digraph'
ok 'draws the graph'

# ---- converting a softmax model to a recurrent one ----
train soft --updates 12 --mixer softmax --valid valid.en valid.de
run convert --mixer t2r:3 --cross hedgehog soft --output-folder turned
gives 0 && says 'of the feature vectors are all zeros' && says 'turned: .* parameters, .* of them already trained' && [ ! -s out ]
ok 'convert'
from valid.en
run translate turned
gives 0 && [ "$(wc -l <out)" = 20 ]
ok 'a converted run translates'
from nothing
run train --from turned --output-folder tuned --updates 4 --distill attention --distill-updates 3
gives 0 && says 'distilling, update 3 of 3: cross-entropy with softmax' && says 'tuned: 4 updates' && says 'starting with turned/start'
ok 'a converted run is distilled, then trained on'
run train --from turned --output-folder again --updates 4 --distill attention --distill-updates 3
same_numbers tuned/checkpoint.safetensors again/checkpoint.safetensors
ok 'the same bits again'
run train --output-folder tuned --updates 6
gives 0 && says 'resuming after update 4' && ! says distilling
ok 'a tuned run is resumed'
run train --output-folder turned --updates 2
gives 0 && says 'starting with turned/start' && says 'turned: 2 updates'
ok 'a converted run may be trained in its own folder'
refuses 2 'that attention of tuned is already t2r:3; only softmax can be converted' convert --mixer linear tuned --output-folder new
refuses 2 'memsizer: it has no queries and keys that could be kept' convert --mixer memsizer soft --output-folder new
refuses 2 'softmax: it is already softmax' convert --mixer softmax soft --output-folder new
refuses 2 'rfa-gate: this mixer has no form as cross attention: its gate decays' convert --cross rfa-gate soft --output-folder new
refuses 2 'name the mixer that replaces the decoder.s self-attention' convert soft --output-folder new
refuses 2 'turned is already a run' convert --mixer t2r soft --output-folder turned
refuses 2 'name the folder of the run' convert --mixer t2r soft
refuses 4 'there is no folder nowhere' convert --mixer t2r nowhere --output-folder new
refuses 2 'this run was started with --dim 32' train --from tuned --dim 64 --output-folder new
refuses 2 'this run was started with --from .*/turned' train --from soft --output-folder tuned --updates 9
refuses 2 'nowhere: this is not the folder of a run' train --from nowhere --output-folder new
run train --from tuned --distill attention --output-folder new --updates 1
gives 4 && says 'this works for a run that `rondo convert` made'
ok 'a run that was trained is not distilled'
[ ! -e new ]
ok 'nothing is left of refused runs'

# ---- a German locale changes nothing ----
if [ -z "$LOCPATH" ] && command -v localedef >/dev/null && localedef -i de_DE -f UTF-8 "$folder/de_DE.UTF-8" 2>/dev/null; then
    LOCPATH=$folder
    export LOCPATH
fi
if [ "$(LC_ALL=de_DE.UTF-8 locale decimal_point 2>/dev/null)" = , ]; then
    with=LC_ALL=de_DE.UTF-8
    train german --updates 40 --rate 2.5e-3
    gives 0 && same_numbers german/checkpoint.safetensors one_thread/checkpoint.safetensors && grep -q '^rate: 0.0025' german/settings.yaml
    ok 'German locale: the same bits'
    run train --output-folder german --updates 41
    gives 0 && says 'resuming after update 40'
    ok 'German locale: resumes'
    from valid.en
    run translate model.rondo
    gives 0 && cmp -s out file_out
    ok 'German locale: the same translation'
    run evaluate --reference valid.de --json
    gives 0 && grep -q '"bleu": [0-9]*\.[0-9]' out
    ok 'German locale: numbers with a point'
    from nothing
    with=
else
    skip 'a German locale changes nothing' 'no German locale is installed'
fi

echo "1..$number"
exit $wrong
