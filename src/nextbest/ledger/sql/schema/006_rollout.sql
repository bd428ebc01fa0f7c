-- How far each play is rolled out, and which models serve.

PRAGMA user_version = 6;
