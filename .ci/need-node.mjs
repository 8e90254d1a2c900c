// Runs before `npm start` and `npm test`, on whatever Node there is, so it is plain JavaScript that
// old versions read too. It says what to do where the sources could not run: without it an older
// Node answers with ERR_UNKNOWN_FILE_EXTENSION, which tells nobody anything.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 22 || (major === 22 && minor < 18)) {
  process.stderr.write(
    `statemq needs Node 22.18 or newer; this is ${process.version}.\n` +
      'Its own copy of Node 24 is a development dependency whose install script did not run. To fetch it:\n\n' +
      '    npm rebuild node\n\n',
  )
  process.exit(1)
}
