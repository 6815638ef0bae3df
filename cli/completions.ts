/**
 * Shell completion, made of the commands and their flags.
 *
 * @module
 */

import type { Command, Flag } from "./flags.ts";
import { wordsOf } from "./flags.ts";
import { quote } from "./program.ts";

/** What the program is called where it is installed. */
const NAME = "longstride";

/** What stands in a place of the command line. */
type Place = { readonly words: readonly string[] } | "files" | "folders" | "text";

/** What a flag's value, or an operand, is: its name in help says so. */
function placeOf(name: string, words?: readonly string[]): Place {
  if (words) return { words };
  return /FILE/.test(name) ? "files" : /RUN|DIR/.test(name) ? "folders" : "text";
}

const namesOf = ({ name, negatable }: Flag) => negatable ? [`--${name}`, `--no-${name}`] : [`--${name}`];
/** A command's operand. */
const operandOf = ({ operands }: Command): { name: string; place: Place } | undefined => {
  if (!operands) return undefined;
  const { name, words } = operands;
  // Files follow the word of `data`.
  return { name, place: placeOf(name, name.includes("FILE") ? undefined : words) };
};

function bash(commands: readonly Command[]): string {
  const answer = (place: Place) =>
    place === "text"
      ? "return"
      : place === "files" || place === "folders"
      ? `local IFS=$'\\n'; COMPREPLY=($(compgen -${
        place === "files" ? "f" : "d"
      } -- "$cur")); compopt -o filenames 2>/dev/null || :; return`
      : `words=${quote(place.words.join(" "))}`;
  const values = commands.flatMap((command) =>
    command.flags.flatMap((flag) =>
      flag.value ? [`    ${quote(`${command.name} --${flag.name}`)}) ${answer(placeOf(flag.value, wordsOf(flag)))} ;;`] : []
    )
  );
  const flags = commands.map((command) =>
    `    ${command.name}) words=${quote([...command.flags.flatMap(namesOf), "--help"].join(" "))} ;;`
  );
  const operands = commands.map((command) => ({ command, operand: operandOf(command) })).flatMap(({ command, operand }) =>
    operand ? [`    ${command.name}) ${answer(operand.place)} ;;`] : []
  );
  return `# eval "$(${NAME} completions bash)"
_${NAME}() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" words=
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then words=${quote([...commands.map(({ name }) => name), "--help", "--version"].join(" "))}
  else case "\${COMP_WORDS[1]} \${COMP_WORDS[COMP_CWORD-1]}" in
${values.join("\n")}
    *) case "$cur" in
    -*) case "\${COMP_WORDS[1]}" in
${flags.join("\n")}
    esac ;;
    *) case "\${COMP_WORDS[1]}" in
${operands.join("\n")}
    esac ;;
    esac ;;
  esac fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _${NAME} ${NAME}
`;
}

function zsh(commands: readonly Command[]): string {
  const inBrackets = (text: string) => text.replace(/[\[\]:\\]/g, "\\$&");
  const action = (place: Place) =>
    place === "text" ? " " : place === "files" ? "_files" : place === "folders" ? "_files -/" : `(${place.words.join(" ")})`;
  const flag = (flag: Flag) =>
    namesOf(flag).map((name) =>
      quote(
        `${flag.many ? "*" : ""}${name}[${inBrackets(flag.about)}]${
          flag.value ? `:${inBrackets(flag.value)}:${action(placeOf(flag.value, wordsOf(flag)))}` : ""
        }`,
      )
    );
  const one = (command: Command) => {
    const operand = operandOf(command), rest = operand ? [quote(`*:${inBrackets(operand.name)}:${action(operand.place)}`)] : [];
    return `    ${command.name}) _arguments ${
      [...command.flags.flatMap(flag), quote("--help[list the flags]"), ...rest].join(" \\\n      ")
    } ;;`;
  };
  return `#compdef ${NAME}
# eval "$(${NAME} completions zsh)", after compinit
_${NAME}() {
  local -a commands=(
${commands.map(({ name, about }) => `    ${quote(`${name}:${about.replaceAll(":", "\\:")}`)}`).join("\n")}
  )
  if (( CURRENT == 2 )); then _describe command commands; return; fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
${commands.map(one).join("\n")}
  esac
}
compdef _${NAME} ${NAME}
`;
}

function fish(commands: readonly Command[]): string {
  // Within quotes fish knows \\ and \' alone.
  const text = (text: string) => `'${text.replace(/[\\']/g, "\\$&")}'`;
  const takes = (place: Place) =>
    place === "text"
      ? "-x"
      : place === "files"
      ? "-rF"
      : place === "folders"
      ? "-x -a '(__fish_complete_directories)'"
      : `-x -a ${text(place.words.join(" "))}`;
  const lines = commands.flatMap((command) => {
    const begin = `complete -c ${NAME} -n '__fish_seen_subcommand_from ${command.name}'`, operand = operandOf(command);
    return [
      `complete -c ${NAME} -n __fish_use_subcommand -a ${command.name} -d ${text(command.about)}`,
      ...command.flags.flatMap((flag) =>
        namesOf(flag).map((name) =>
          `${begin} -l ${name.slice(2)}${flag.value ? ` ${takes(placeOf(flag.value, wordsOf(flag)))}` : ""} -d ${text(flag.about)}`
        )
      ),
      `${begin} -l help -d 'list the flags'`,
      ...operand && operand.place !== "text" ? [`${begin} ${takes(operand.place).replace("-rF", "-F").replace("-x ", "")}`] : [],
    ];
  });
  return `# ${NAME} completions fish | source\ncomplete -c ${NAME} -f\n${lines.join("\n")}\n`;
}

/** What makes the completion of a shell. */
export const SHELLS: Readonly<Record<string, (commands: readonly Command[]) => string>> = { bash, zsh, fish };
