/* Compiled without call frame information: where a walk comes to it, nobody can say for sure how to go on. */
void call_without_cfi(void (*function)(int), int argument);
void call_without_cfi(void (*function)(int), int argument)
{
    volatile char room[200];
    room[argument % 200] = 1;
    function(argument);
    room[0] = room[argument % 200];
}
